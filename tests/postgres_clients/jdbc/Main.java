import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Timestamp;
import java.time.Instant;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Properties;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

/**
 * pgjdbc: fetchSize, batches, DatabaseMetaData, times as parameters, CopyManager, cancel.
 *
 * <p>It is told where the server is, and prints what it found, as check.py says.
 */
public class Main {
    static final String INSERT = "INSERT INTO events (timestamp, user_id, event, page, referrer) VALUES (?, ?, ?, ?, ?)";
    static final String LONG = "SELECT count(*) FROM generate_series(1, 10000000000)";
    static final boolean IS_POSTGRESQL = "postgresql".equals(System.getenv("CHECK_SERVER"));

    interface Check {
        void run(OffsetDateTime hour) throws Exception;
    }

    record Event(OffsetDateTime timestamp, String user, String kind, String page, String referrer) {}

    static OffsetDateTime next = OffsetDateTime.parse(System.getenv("CHECK_START"));

    public static void main(String[] arguments) throws Exception {
        try (Connection connection = connect()) {
            System.out.println("version " + connection.getMetaData().getDriverVersion());
        } catch (SQLException error) {
            System.out.println("not ok connecting: " + line(error));
            return;
        }
        check("transactions and savepoints", Main::transactions);
        check("fetchSize in a transaction", Main::fetchSize);
        check("batches", hour -> batches(hour, ""));
        check("batches that are rewritten as one INSERT", hour -> batches(hour, "&reWriteBatchedInserts=true"));
        check("times as parameters", Main::times);
        check("values in text and binary", Main::values);
        check("prepared statements of the server", Main::prepared);
        check("simple protocol", Main::simple);
        check("getTables", Main::getTables);
        check("getColumns", Main::getColumns);
        check("getPrimaryKeys and what is not there", Main::getKeys);
        check("other metadata", Main::otherMetaData);
        check("metadata of results", Main::resultMetaData);
        check("CopyManager", Main::copy);
        check("setQueryTimeout", Main::timeout);
        check("cancel", Main::cancel);
        check("errors", Main::errors);
        check("read-only connections", Main::readOnly);
        check("isValid and settings", Main::settings);
    }

    static void check(String name, Check check) {
        try {
            check.run(next);
            System.out.println("ok " + name);
        } catch (Throwable error) {
            System.out.println("not ok " + name + ": " + line(error));
        }
        next = next.plusHours(1);
    }

    static String line(Throwable error) {
        String place = "";
        for (StackTraceElement frame : error.getStackTrace()) {
            if (frame.getClassName().startsWith("Main") && !List.of("equal", "line").contains(frame.getMethodName()) && place.isEmpty()) {
                place = " (line " + frame.getLineNumber() + ")";
            }
        }
        String state = error instanceof SQLException sql ? sql.getSQLState() + " " : "";
        return (state + error.getClass().getSimpleName() + ": " + error.getMessage()).replaceAll("\\s+", " ") + place;
    }

    static void equal(Object found, Object expected, String what) {
        if (!Objects.deepEquals(found, expected)) {
            throw new AssertionError(what + ": " + found + ", expected " + expected);
        }
    }

    static Connection connect() throws SQLException {
        return connect("");
    }

    static Connection connect(String options) throws SQLException {
        String mode = System.getenv("PGSSLMODE");
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        if (System.getenv("PGPASSWORD") != null) {
            properties.setProperty("password", System.getenv("PGPASSWORD"));
        }
        return DriverManager.getConnection(url + "?sslmode=" + mode + options, properties);
    }

    static List<Event> events(OffsetDateTime hour, int count) {
        String[] kinds = {"click", "impression", "signup"};
        List<Event> rows = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            OffsetDateTime at = hour.plusNanos(3_599_999_999L * i / count * 1000);
            rows.add(new Event(at, "user " + i % 5, kinds[i % 3], "/a 'b' \"c\" \\ " + i, i % 4 == 1 ? null : "ž"));
        }
        return rows;
    }

    static String within(OffsetDateTime hour) {
        return "timestamp >= '" + hour + "' AND timestamp < '" + hour.plusHours(1) + "'";
    }

    static String select(OffsetDateTime hour) {
        return "SELECT timestamp, user_id, event, page, referrer FROM events WHERE " + within(hour) + " ORDER BY timestamp";
    }

    static void set(PreparedStatement statement, Event event) throws SQLException {
        statement.setObject(1, event.timestamp());
        statement.setString(2, event.user());
        statement.setString(3, event.kind());
        statement.setString(4, event.page());
        statement.setString(5, event.referrer());
    }

    static void insert(Connection connection, List<Event> rows) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(INSERT)) {
            for (Event event : rows) {
                set(statement, event);
                equal(statement.executeUpdate(), 1, "rows of an INSERT");
            }
        }
    }

    static List<Event> read(ResultSet rows) throws SQLException {
        List<Event> found = new ArrayList<>();
        while (rows.next()) {
            found.add(new Event(rows.getObject(1, OffsetDateTime.class), rows.getString(2), rows.getString(3), rows.getString(4), rows.getString(5)));
        }
        return found;
    }

    /** Asserts that an hour has these events, by GET /analytics and by a connection of its own. */
    static void holds(OffsetDateTime hour, List<Event> rows) throws Exception {
        try (Connection connection = connect(); Statement statement = connection.createStatement()) {
            equal(read(statement.executeQuery(select(hour))), rows, "stored");
        }
        if (IS_POSTGRESQL) {
            return;
        }
        URI uri = URI.create(System.getenv("CHECK_HTTP") + "/analytics?timestamp=" + hour.toInstant().toEpochMilli());
        HttpRequest.Builder request = HttpRequest.newBuilder(uri).header("accept", "application/json");
        if (System.getenv("PGPASSWORD") != null) {
            request.header("authorization", "Bearer " + System.getenv("PGPASSWORD"));
        }
        String found = HttpClient.newHttpClient().send(request.build(), HttpResponse.BodyHandlers.ofString()).body();
        equal(number(found, "clicks"), rows.stream().filter(row -> row.kind().equals("click")).count(), "clicks by GET /analytics");
        equal(number(found, "impressions"), rows.stream().filter(row -> row.kind().equals("impression")).count(), "impressions by GET /analytics");
        equal(number(found, "unique_users"), (long) new HashSet<>(rows.stream().map(Event::user).toList()).size(), "users by GET /analytics");
    }

    static Long number(String json, String name) {
        Matcher found = Pattern.compile("\"" + name + "\":(\\d+)").matcher(json);
        return found.find() ? Long.valueOf(found.group(1)) : null;
    }

    static void transactions(OffsetDateTime hour) throws Exception {
        List<Event> rows = events(hour, 8);
        try (Connection connection = connect()) {
            connection.setAutoCommit(false);
            insert(connection, rows.subList(0, 2));
            Savepoint here = connection.setSavepoint("here");
            insert(connection, rows.subList(2, 4));
            connection.rollback(here);
            holds(hour, List.of());
            connection.commit();
            insert(connection, rows.subList(4, 6));
            connection.rollback();
        }
        holds(hour, rows.subList(0, 2));
    }

    static void fetchSize(OffsetDateTime hour) throws Exception {
        List<Event> rows = events(hour, 500);
        try (Connection connection = connect()) {
            connection.setAutoCommit(false);
            insert(connection, rows);
            connection.commit();
            try (PreparedStatement statement = connection.prepareStatement(select(hour))) {
                statement.setFetchSize(30);
                equal(read(statement.executeQuery()), rows, "rows by 30");
                statement.setMaxRows(77);
                equal(read(statement.executeQuery()), rows.subList(0, 77), "at most 77 rows");
            }
            // Two results that are open at a time.
            try (Statement one = connection.createStatement(); Statement two = connection.createStatement()) {
                one.setFetchSize(10);
                two.setFetchSize(10);
                ResultSet first = one.executeQuery("SELECT i FROM generate_series(1, 100) t (i)");
                ResultSet second = two.executeQuery("SELECT i FROM generate_series(1, 100) t (i)");
                for (int i = 1; i <= 100; i++) {
                    equal(first.next() && second.next() && first.getInt(1) == i && second.getInt(1) == i, true, "row " + i);
                }
            }
            connection.commit();
        }
    }

    static void batches(OffsetDateTime hour, String options) throws Exception {
        List<Event> rows = events(hour, 300);
        try (Connection connection = connect(options); PreparedStatement statement = connection.prepareStatement(INSERT)) {
            connection.setAutoCommit(false);
            for (Event event : rows) {
                set(statement, event);
                statement.addBatch();
            }
            equal(statement.executeBatch().length, 300, "rows of a batch");
            holds(hour, List.of());
            connection.commit();
        }
        holds(hour, rows);
    }

    static void times(OffsetDateTime hour) throws Exception {
        List<Event> rows = events(hour, 8);
        Instant start = hour.toInstant();
        try (Connection connection = connect()) {
            try (PreparedStatement statement = connection.prepareStatement(INSERT)) {
                for (int i = 0; i < rows.size(); i++) {
                    set(statement, rows.get(i));
                    if (i % 2 == 0) {
                        statement.setTimestamp(1, Timestamp.from(rows.get(i).timestamp().toInstant()));
                    }
                    statement.executeUpdate();
                }
            }
            holds(hour, rows);
            String sql = "SELECT count(*), min(timestamp) FROM events WHERE timestamp >= ? AND timestamp < ? AND date = ? AND hour = ?";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                for (int i = 0; i < 8; i++) {
                    statement.setTimestamp(1, Timestamp.from(start));
                    statement.setObject(2, hour.plusHours(1));
                    statement.setObject(3, LocalDate.from(hour));
                    statement.setInt(4, hour.getHour());
                    ResultSet found = statement.executeQuery();
                    found.next();
                    equal(found.getLong(1), 8L, "rows between times");
                    equal(found.getTimestamp(2).toInstant(), start, "a time");
                }
            }
        }
    }

    static void values(OffsetDateTime hour) throws Exception {
        String sql = "SELECT 1::int2, 2::int4, 9007199254740993::int8, 0.5::float4, 0.1::float8, 1.50::numeric(5, 2), true, 'ž'::text, '\\x00ff'::bytea,"
            + " DATE '2024-02-29', ARRAY[1, NULL, 3]::int4[], NULL::text, TIMESTAMP '2024-02-29 01:02:03.000004', TIMESTAMPTZ '2024-02-29 01:02:03.000004Z'";
        for (String options : List.of("&binaryTransfer=false", "&prepareThreshold=-1&binaryTransferEnable=NUMERIC")) {
            try (Connection connection = connect(options); PreparedStatement statement = connection.prepareStatement(sql)) {
                for (int i = 0; i < 7; i++) {
                    ResultSet row = statement.executeQuery();
                    row.next();
                    equal(row.getShort(1), (short) 1, "int2");
                    equal(row.getInt(2), 2, "int4");
                    equal(row.getLong(3), 9007199254740993L, "int8");
                    equal(row.getFloat(4), 0.5f, "float4");
                    equal(row.getDouble(5), 0.1, "float8");
                    equal(row.getBigDecimal(6), new BigDecimal("1.50"), "numeric");
                    equal(row.getBoolean(7), true, "bool");
                    equal(row.getString(8), "ž", "text");
                    equal(row.getBytes(9), new byte[] {0, -1}, "bytea");
                    equal(row.getObject(10, LocalDate.class), LocalDate.of(2024, 2, 29), "date");
                    equal(row.getArray(11).getArray(), new Integer[] {1, null, 3}, "int4[]");
                    equal(row.getString(12), null, "NULL");
                    equal(row.getString(13), "2024-02-29 01:02:03.000004", "timestamp");
                    equal(row.getObject(14, OffsetDateTime.class), OffsetDateTime.of(2024, 2, 29, 1, 2, 3, 4000, ZoneOffset.UTC), "timestamptz");
                }
            }
        }
    }

    static void prepared(OffsetDateTime hour) throws Exception {
        List<Event> rows = events(hour, 20);
        try (Connection connection = connect("&prepareThreshold=3")) {
            insert(connection, rows);
            String sql = "SELECT user_id FROM events WHERE " + within(hour) + " AND event = ? ORDER BY timestamp LIMIT ?";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                equal(statement.getParameterMetaData().getParameterTypeName(1), "text", "type of a parameter");
                for (int i = 0; i < 10; i++) {
                    statement.setString(1, "click");
                    statement.setInt(2, i % 5);
                    ResultSet found = statement.executeQuery();
                    int seen = 0;
                    while (found.next()) {
                        seen++;
                    }
                    equal(seen, i % 5, "rows");
                }
            }
        }
        holds(hour, rows);
    }

    static void simple(OffsetDateTime hour) throws Exception {
        List<Event> rows = events(hour, 8);
        try (Connection connection = connect("&preferQueryMode=simple")) {
            insert(connection, rows);
            try (PreparedStatement statement = connection.prepareStatement("SELECT count(*) FROM events WHERE timestamp >= ? AND timestamp < ?")) {
                statement.setObject(1, hour);
                statement.setTimestamp(2, Timestamp.from(hour.plusHours(1).toInstant()));
                ResultSet found = statement.executeQuery();
                found.next();
                equal(found.getInt(1), 8, "rows");
            }
        }
        holds(hour, rows);
    }

    static void getTables(OffsetDateTime hour) throws Exception {
        try (Connection connection = connect()) {
            TreeMap<String, String> found = new TreeMap<>();
            ResultSet rows = connection.getMetaData().getTables(null, "public", "%", new String[] {"TABLE", "VIEW"});
            while (rows.next()) {
                found.put(rows.getString("TABLE_NAME"), rows.getString("TABLE_TYPE"));
            }
            equal(found.toString(), "{events=TABLE, hours=VIEW, visitors=VIEW}", "tables");
            equal(connection.getMetaData().getTables(null, null, "events", null).next(), true, "events");
        }
    }

    static void getColumns(OffsetDateTime hour) throws Exception {
        try (Connection connection = connect()) {
            TreeMap<String, String> found = new TreeMap<>();
            ResultSet rows = connection.getMetaData().getColumns(null, "public", "events", "%");
            while (rows.next()) {
                found.put(rows.getString("COLUMN_NAME"), rows.getString("TYPE_NAME") + " " + rows.getString("IS_NULLABLE"));
            }
            String expected = "{date=date YES, event=text NO, hour=int4 YES, page=text YES, referrer=text YES, timestamp=timestamptz NO, user_id=text NO}";
            equal(found.toString().replaceAll("(date|hour)=(\\w+) NO", "$1=$2 YES"), expected, "columns");
        }
    }

    static void getKeys(OffsetDateTime hour) throws Exception {
        try (Connection connection = connect()) {
            var metadata = connection.getMetaData();
            equal(metadata.getPrimaryKeys(null, "public", "events").next(), false, "primary keys");
            equal(metadata.getImportedKeys(null, "public", "events").next(), false, "imported keys");
            equal(metadata.getExportedKeys(null, "public", "events").next(), false, "exported keys");
            equal(metadata.getIndexInfo(null, "public", "events", false, true).next(), false, "indexes");
            equal(metadata.getBestRowIdentifier(null, "public", "events", 0, true).next(), false, "row identifiers");
            metadata.getTablePrivileges(null, "public", "events").next();
            metadata.getColumnPrivileges(null, "public", "events", "%").next();
        }
    }

    static void otherMetaData(OffsetDateTime hour) throws Exception {
        try (Connection connection = connect()) {
            var metadata = connection.getMetaData();
            equal(metadata.getDatabaseProductName() + " " + metadata.getDatabaseMajorVersion(), "PostgreSQL 15", "product");
            ResultSet schemas = metadata.getSchemas();
            List<String> names = new ArrayList<>();
            while (schemas.next()) {
                names.add(schemas.getString(1));
            }
            equal(names.contains("public") && names.contains("pg_catalog"), true, "schemas " + names);
            ResultSet catalogs = metadata.getCatalogs();
            equal(catalogs.next() && catalogs.getString(1) != null, true, "catalogs");
            equal(metadata.getTypeInfo().next(), true, "types");
            metadata.getFunctions(null, "pg_catalog", "now").next();
            metadata.getFunctionColumns(null, "pg_catalog", "now", "%").next();
            metadata.getProcedures(null, null, "%").next();
            metadata.getUDTs(null, null, "%", null).next();
            equal(metadata.getTableTypes().next(), true, "types of tables");
            equal(metadata.getMaxColumnNameLength() > 60, true, "length of names");
            equal(metadata.getSQLKeywords().length() > 10, true, "keywords");
            metadata.getDefaultTransactionIsolation();
            equal(connection.getSchema(), "public", "schema");
        }
    }

    static void resultMetaData(OffsetDateTime hour) throws Exception {
        try (Connection connection = connect(); Statement statement = connection.createStatement()) {
            var metadata = statement.executeQuery("SELECT timestamp, user_id, hour, count(*) FROM events GROUP BY 1, 2, 3 LIMIT 0").getMetaData();
            List<String> found = new ArrayList<>();
            for (int i = 1; i <= metadata.getColumnCount(); i++) {
                found.add(metadata.getColumnLabel(i) + " " + metadata.getColumnTypeName(i));
            }
            equal(found, List.of("timestamp timestamptz", "user_id text", "hour int4", "count int8"), "columns");
            metadata.isAutoIncrement(1);
            metadata.isNullable(1);
        }
    }

    static void copy(OffsetDateTime hour) throws Exception {
        List<Event> rows = events(hour, 50).stream().map(e -> new Event(e.timestamp(), e.user(), e.kind(), "p", null)).toList();
        try (Connection connection = connect()) {
            CopyManager manager = connection.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder lines = new StringBuilder();
            rows.forEach(row -> lines.append(row.timestamp()).append(',').append(row.user()).append(',').append(row.kind()).append(",p,\n"));
            String into = "COPY events (timestamp, user_id, event, page, referrer) FROM STDIN WITH (FORMAT csv)";
            equal(manager.copyIn(into, new StringReader(lines.toString())), 50L, "rows of COPY");
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            equal(manager.copyOut("COPY (" + select(hour) + ") TO STDOUT WITH (FORMAT csv, HEADER)", out), 50L, "rows of COPY");
            equal(out.toString().split("\n")[0], "timestamp,user_id,event,page,referrer", "header");
            try {
                manager.copyIn(into, new StringReader("not a time,a,click,p,\n"));
                throw new AssertionError("no error of COPY");
            } catch (SQLException error) {
                equal(error.getSQLState(), "22007", "SQLSTATE of COPY");
            }
        }
        holds(hour, rows);
    }

    static void timeout(OffsetDateTime hour) throws Exception {
        try (Connection connection = connect(); Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            try {
                statement.executeQuery(LONG);
                throw new AssertionError("no time-out");
            } catch (SQLException error) {
                equal(error.getSQLState(), "57014", "SQLSTATE");
            }
            equal(statement.executeQuery("SELECT 1").next(), true, "a statement after it");
        }
    }

    static void cancel(OffsetDateTime hour) throws Exception {
        try (Connection connection = connect(); Statement statement = connection.createStatement()) {
            Thread cancelling = new Thread(() -> {
                try {
                    Thread.sleep(700);
                    statement.cancel();
                } catch (Exception error) {
                    System.out.println("cancel: " + error);
                }
            });
            cancelling.start();
            try {
                statement.executeQuery(LONG);
                throw new AssertionError("it was not cancelled");
            } catch (SQLException error) {
                equal(error.getSQLState(), "57014", "SQLSTATE");
            }
            cancelling.join();
        }
    }

    static void errors(OffsetDateTime hour) throws Exception {
        try (Connection connection = connect(); Statement statement = connection.createStatement()) {
            String[][] cases = {{"SELECT nothing FROM events", "42703"}, {"SELECT * FROM nothing", "42P01"}, {"SELEC 1", "42601"}, {"SELECT 1 / 0", "22012"}};
            for (String[] one : cases) {
                try {
                    statement.executeQuery(one[0]);
                    throw new AssertionError("no error of " + one[0]);
                } catch (SQLException error) {
                    equal(error.getSQLState(), one[1], one[0]);
                }
            }
            // autosave rolls back to a savepoint of its own after an error.
            try (Connection saving = connect("&autosave=always"); Statement inner = saving.createStatement()) {
                saving.setAutoCommit(false);
                insert(saving, events(hour, 1));
                try {
                    inner.executeQuery("SELECT nothing");
                } catch (SQLException expected) {
                    insert(saving, events(hour, 2).subList(1, 2));
                }
                saving.commit();
            }
        }
        holds(hour, events(hour, 2));
    }

    static void readOnly(OffsetDateTime hour) throws Exception {
        try (Connection connection = connect("&readOnlyMode=always")) {
            connection.setReadOnly(true);
            connection.setAutoCommit(false);
            try {
                insert(connection, events(hour, 1));
                throw new AssertionError("an event was taken");
            } catch (SQLException error) {
                equal(error.getSQLState(), "25006", "SQLSTATE");
            }
        }
        holds(hour, List.of());
    }

    static void settings(OffsetDateTime hour) throws Exception {
        try (Connection connection = connect("&ApplicationName=checks&options=-c%20statement_timeout=9s"); Statement statement = connection.createStatement()) {
            equal(connection.isValid(5), true, "valid");
            ResultSet found = statement.executeQuery("SHOW application_name");
            found.next();
            equal(found.getString(1), "checks", "application_name");
            found = statement.executeQuery("SHOW statement_timeout");
            found.next();
            equal(found.getString(1), "9s", "statement_timeout");
            connection.setClientInfo("ApplicationName", "other");
            connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            equal(connection.getTransactionIsolation(), Connection.TRANSACTION_REPEATABLE_READ, "isolation");
            connection.setSchema("public");
        }
    }
}
