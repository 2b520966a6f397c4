// lib/pq with database/sql: parameters, transactions, CopyIn, contexts, arrays.
//
// It is told where the server is, and prints what it found, as check.py says.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/lib/pq"
)

const (
	insert = "INSERT INTO events (timestamp, user_id, event, page, referrer) VALUES ($1, $2, $3, $4, $5)"
	long   = "SELECT count(*) FROM generate_series(1, 10000000000)"
)

type event struct {
	timestamp  time.Time
	user, kind string
	page       string
	referrer   sql.NullString
}

func events(hour time.Time, count int) []event {
	kinds := []string{"click", "impression", "signup"}
	rows := make([]event, count)
	for i := range rows {
		at := hour.Add(time.Duration(3599999999/count*i) * time.Microsecond)
		rows[i] = event{at, fmt.Sprintf("user %d", i%5), kinds[i%3], fmt.Sprintf("/a 'b' \"c\" \\ ž %d", i), sql.NullString{String: "r", Valid: i%4 != 1}}
	}
	return rows
}

func values(row event) []any { return []any{row.timestamp, row.user, row.kind, row.page, row.referrer} }

func within(hour time.Time) string {
	return fmt.Sprintf("timestamp >= '%s' AND timestamp < '%s'", hour.Format(time.RFC3339), hour.Add(time.Hour).Format(time.RFC3339))
}

func read(db *sql.DB, hour time.Time) ([]event, error) {
	rows, err := db.Query("SELECT timestamp, user_id, event, page, referrer FROM events WHERE timestamp >= $1 AND timestamp < $2 ORDER BY timestamp", hour, hour.Add(time.Hour))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := []event{}
	for rows.Next() {
		var row event
		if err := rows.Scan(&row.timestamp, &row.user, &row.kind, &row.page, &row.referrer); err != nil {
			return nil, err
		}
		row.timestamp = row.timestamp.UTC()
		if !row.referrer.Valid {
			row.referrer = sql.NullString{String: "r"}
		}
		found = append(found, row)
	}
	return found, rows.Err()
}

// holds says how an hour differs from these events, by the client and by GET /analytics.
func holds(db *sql.DB, hour time.Time, rows []event) error {
	found, err := read(db, hour)
	if err != nil {
		return err
	}
	if err := equal(found, rows, "stored"); err != nil || os.Getenv("CHECK_SERVER") == "postgresql" {
		return err
	}
	request, _ := http.NewRequest("GET", fmt.Sprintf("%s/analytics?timestamp=%d", os.Getenv("CHECK_HTTP"), hour.UnixMilli()), nil)
	request.Header.Set("accept", "application/json")
	if token := os.Getenv("PGPASSWORD"); token != "" {
		request.Header.Set("authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var counts struct{ Clicks, Impressions, Signup int }
	if err := json.NewDecoder(response.Body).Decode(&counts); err != nil {
		return err
	}
	expected := map[string]int{}
	for _, row := range rows {
		expected[row.kind]++
	}
	got := []int{counts.Clicks, counts.Impressions, counts.Signup}
	return equal(got, []int{expected["click"], expected["impression"], expected["signup"]}, "counts by GET /analytics")
}

func equal(found, expected any, what string) error {
	if reflect.DeepEqual(found, expected) {
		return nil
	}
	return fmt.Errorf("%s: %v, expected %v", what, found, expected)
}

// state is the SQLSTATE of an error.
func state(err error) string {
	var of *pq.Error
	if errors.As(err, &of) {
		return string(of.Code)
	}
	return fmt.Sprint(err)
}

func parameters(db *sql.DB, hour time.Time) error {
	rows := events(hour, 8)
	for _, row := range rows {
		done, err := db.Exec(insert, values(row)...)
		if err != nil {
			return err
		}
		if count, _ := done.RowsAffected(); count != 1 {
			return fmt.Errorf("%d rows of an INSERT", count)
		}
	}
	var count int
	err := db.QueryRow("SELECT count(*) FROM events WHERE "+within(hour)+" AND event = ANY($1) AND hour = $2", pq.Array([]string{"click"}), hour.Hour()).Scan(&count)
	if err != nil {
		return err
	}
	if err := equal(count, 3, "clicks"); err != nil {
		return err
	}
	var most int64
	if err := db.QueryRow("SELECT i FROM generate_series(1, 9) t (i) ORDER BY i DESC LIMIT $1 OFFSET $2", 1, 2).Scan(&most); err != nil {
		return err
	}
	if err := equal(most, int64(7), "with LIMIT and OFFSET"); err != nil {
		return err
	}
	return holds(db, hour, rows)
}

func transactions(db *sql.DB, hour time.Time) error {
	rows := events(hour, 8)
	for i, end := range []func(*sql.Tx) error{(*sql.Tx).Commit, (*sql.Tx).Rollback} {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		statement, err := tx.Prepare(insert)
		if err != nil {
			return err
		}
		for _, row := range rows[i*4 : i*4+4] {
			if _, err := statement.Exec(values(row)...); err != nil {
				return err
			}
		}
		if err := end(tx); err != nil {
			return err
		}
	}
	return holds(db, hour, rows[:4])
}

func copyIn(db *sql.DB, hour time.Time) error {
	rows := events(hour, 400)
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	statement, err := tx.Prepare(pq.CopyIn("events", "timestamp", "user_id", "event", "page", "referrer"))
	if err != nil {
		return err
	}
	for _, row := range rows {
		if _, err := statement.Exec(values(row)...); err != nil {
			return err
		}
	}
	if _, err := statement.Exec(); err != nil {
		return err
	}
	if err := statement.Close(); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return holds(db, hour, rows)
}

func prepared(db *sql.DB, _ time.Time) error {
	statement, err := db.Prepare("SELECT $1::int8 * 2, $2::text, $3::timestamptz, $4::float8, $5::bool")
	if err != nil {
		return err
	}
	defer statement.Close()
	at := time.Date(2024, 2, 29, 1, 2, 3, 4000, time.UTC)
	for i := int64(0); i < 5; i++ {
		var twice int64
		var text string
		var back time.Time
		var float float64
		var yes bool
		if err := statement.QueryRow(i, "ž", at, 0.1, true).Scan(&twice, &text, &back, &float, &yes); err != nil {
			return err
		}
		if err := equal([]any{twice, text, back.UTC(), float, yes}, []any{i * 2, "ž", at, 0.1, true}, "values"); err != nil {
			return err
		}
	}
	return nil
}

func cancel(db *sql.DB, _ time.Time) error {
	limited, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	started := time.Now()
	var count int64
	err := db.QueryRowContext(limited, long).Scan(&count)
	if err == nil || time.Since(started) > 10*time.Second {
		return fmt.Errorf("not cancelled: %v after %v", err, time.Since(started))
	}
	return db.QueryRow("SELECT 1").Scan(&count)
}

func failures(db *sql.DB, _ time.Time) error {
	for text, expected := range map[string]string{"SELECT nothing": "42703", "SELECT * FROM nothing": "42P01", "SELEC 1": "42601", "SELECT 1 / 0": "22012"} {
		rows, err := db.Query(text)
		if err == nil {
			for rows.Next() {
			}
			err = rows.Err()
			rows.Close()
		}
		if err := equal(state(err), expected, text); err != nil {
			return err
		}
	}
	tx, err := db.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	_, err = tx.Exec("INSERT INTO events (timestamp, user_id, event) VALUES (now(), 'a', 'click')")
	return equal(state(err), "25006", "an INSERT that is read-only")
}

func columns(db *sql.DB, _ time.Time) error {
	rows, err := db.Query("SELECT timestamp, user_id, hour, count(*) FROM events GROUP BY 1, 2, 3 LIMIT 0")
	if err != nil {
		return err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	found := []string{}
	for _, kind := range types {
		found = append(found, kind.Name()+" "+kind.DatabaseTypeName())
	}
	return equal(found, []string{"timestamp TIMESTAMPTZ", "user_id TEXT", "hour INT4", "count INT8"}, "columns")
}

func main() {
	fmt.Println("version 1.10.7")
	// The library refuses options that it does not know, and takes the rest from the environment.
	mode := map[bool]string{true: "verify-full", false: "disable"}[os.Getenv("CHECK_LOGIN") == "tls"]
	for _, binary := range []string{"no", "yes"} {
		db, err := sql.Open("postgres", "sslmode="+mode+" binary_parameters="+binary)
		if err != nil {
			fmt.Println("not ok opening:", err)
			return
		}
		db.SetMaxOpenConns(4)
		run(db, binary)
		db.Close()
	}
}

func run(db *sql.DB, binary string) {
	hour, _ := time.Parse(time.RFC3339, os.Getenv("CHECK_START"))
	if binary == "yes" {
		hour = hour.Add(24 * time.Hour)
	}
	checks := []struct {
		name  string
		check func(*sql.DB, time.Time) error
	}{
		{"parameters", parameters}, {"transactions", transactions}, {"CopyIn", copyIn}, {"prepared statements", prepared},
		{"a context that ends", cancel}, {"errors", failures}, {"types of columns", columns},
	}
	for i, one := range checks {
		name := fmt.Sprintf("%s, binary_parameters=%s", one.name, binary)
		if err := one.check(db, hour.Add(time.Duration(i)*time.Hour).UTC()); err != nil {
			fmt.Printf("not ok %s: %s %s\n", name, state(err), strings.Join(strings.Fields(err.Error()), " "))
		} else {
			fmt.Println("ok", name)
		}
	}
}
