//! The judge: what was acknowledged, as a plain map, against every row that the store shows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use hourglass::event::{Event, EventBatch, EventKind, Key};
use hourglass::hour::Hour;
use hourglass::storage::{ABSENT, Snapshot, VisitorReader, of_hour};
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Timestamp, user, kind, values of dimensions.
type Row = (i64, String, EventKind, Vec<(u8, String)>);

/// How often each row is there.
type Rows = BTreeMap<Row, u64>;

fn row(event: Event<'_>) -> Row {
    let values = event.values.iter().map(|(dimension, value)| (dimension, value.into())).collect();
    (event.timestamp_us, event.user.into(), event.kind, values)
}

fn add(rows: &mut Rows, batch: &EventBatch) {
    batch.iter().for_each(|event| *rows.entry(row(event)).or_default() += 1);
}

#[derive(Default)]
pub struct Ledger {
    settled: Rows,
    /// Batches whose outcome nobody was told. The first event of each is nobody else's.
    open: Vec<EventBatch>,
    /// What is settled under each key.
    owners: HashMap<Key, EventBatch>,
    /// Rows before this time may have been removed as too old.
    kept_from_us: i64,
    /// Users of whom nobody knows which rows were erased.
    unsure: BTreeSet<String>,
}

fn key(batch: &EventBatch) -> Option<Key> {
    batch.keyed().first().map(|keyed| keyed.key)
}

impl Ledger {
    /// A batch acknowledged again, under its key, counts once.
    pub fn acknowledge(&mut self, batch: &EventBatch) {
        self.own(batch);
        if !self.is_settled(batch) {
            self.open.retain(|open| open.get(0) != batch.get(0));
            add(&mut self.settled, batch);
        }
    }

    /// The batch's key is its own from now on, if it has one: what else came under it is not
    /// stored, and never will be.
    fn own(&mut self, batch: &EventBatch) {
        let Some(of) = key(batch) else { return };
        let owner = self.owners.entry(of).or_insert_with(|| batch.clone());
        assert!(owner == batch, "answered as stored, or stored, under the key of other events");
        self.open.retain(|open| key(open) != Some(of) || open == batch);
    }

    pub fn doubt(&mut self, batch: &EventBatch) {
        if !self.is_settled(batch)
            && !self.open.contains(batch)
            && self.other_owner(batch).is_none()
        {
            self.open.push(batch.clone());
        }
    }

    /// A batch was refused because its key came before with other content.
    pub fn refuse_reused(&mut self, batch: &EventBatch) {
        let may_be = |open: &EventBatch| key(open) == key(batch) && open != batch;
        let is_so = self.other_owner(batch).is_some() || self.open.iter().any(may_be);
        assert!(is_so && !self.is_settled(batch), "refused for a key that holds nothing else");
        self.open.retain(|open| open != batch);
    }

    /// Rows before `us` may be gone from now on.
    pub fn keep_from(&mut self, us: i64) {
        self.kept_from_us = self.kept_from_us.max(us);
    }

    /// A user was erased; without a receipt some rows may be left.
    pub fn forget(&mut self, user: &str, has_receipt: bool) {
        let is_open = self.open.iter().any(|batch| batch.iter().any(|event| event.user == user));
        if !has_receipt || is_open {
            self.unsure.insert(user.to_string());
        }
        self.settled.retain(|row, _| row.1 != user);
    }

    fn is_known(&self, row: &Row) -> bool {
        row.0 >= self.kept_from_us && !self.unsure.contains(&row.1)
    }

    fn other_owner(&self, batch: &EventBatch) -> Option<&EventBatch> {
        self.owners.get(&key(batch)?).filter(|owner| *owner != batch)
    }

    fn is_settled(&self, batch: &EventBatch) -> bool {
        self.settled.contains_key(&row(batch.get(0)))
    }

    /// After a restart: batches in doubt are there whole or not at all, and stay so.
    pub fn settle(&mut self, snapshot: &Snapshot) {
        let seen = rows(snapshot);
        for batch in std::mem::take(&mut self.open) {
            if seen.contains_key(&row(batch.get(0))) {
                self.own(&batch);
                add(&mut self.settled, &batch);
            }
        }
        self.compare(&seen, "after a restart");
    }

    pub fn judge(&self, snapshot: &Snapshot, when: &str) {
        let seen = rows(snapshot);
        self.compare(&seen, when);
        Self::judge_sets(&seen, snapshot, when);
        let hours = snapshot.hours();
        let known = hours.iter().filter(|hour| hour.start_us() >= self.kept_from_us);
        for &hour in known.filter(|_| self.unsure.is_empty()) {
            let of_hour = |(us, ..): &Row| (hour.start_us()..hour.end_us()).contains(us);
            let clicks: u64 = self
                .settled
                .iter()
                .filter(|(row, _)| of_hour(row) && row.2 == EventKind::CLICK)
                .map(|(_, n)| n)
                .sum();
            assert_eq!(
                snapshot.rollup(hour).count(EventKind::CLICK),
                clicks,
                "clicks of {hour} {when}"
            );
        }
    }

    /// The sets of users, where there are some, hold exactly those of the rows.
    fn judge_sets(seen: &Rows, snapshot: &Snapshot, when: &str) {
        let reader = VisitorReader::new(Arc::new(snapshot.clone()));
        let hours = snapshot.hours();
        if !reader.is_ready(hours.iter().copied(), false) {
            return;
        }
        futures::executor::block_on(reader.prepare(&hours)).expect("sets that can be read");
        let users = |from: Hour, to: Hour, kind: EventKind| {
            let range = from.start_us()..to.end_us();
            let rows = seen.keys().filter(|(us, _, of, _)| range.contains(us) && *of == kind);
            rows.map(|(_, user, ..)| user).collect::<BTreeSet<_>>().len() as u64
        };
        for kind in snapshot.schema.kinds() {
            for (i, &hour) in hours.iter().enumerate() {
                for range in [&hours[i..], &hours[i..=i]] {
                    let last = range[range.len() - 1];
                    let mut references = range.iter().map(|hour| of_hour(*hour, kind)).collect();
                    let counted = reader.count(&mut references).expect("a union");
                    assert_eq!(
                        counted,
                        users(hour, last, kind),
                        "{kind:?} {hour} to {last} {when}"
                    );
                }
            }
        }
    }

    fn compare(&self, seen: &Rows, when: &str) {
        let lost: Vec<_> = self
            .settled
            .iter()
            .filter(|(row, n)| self.is_known(row) && seen.get(row).unwrap_or(&0) < n)
            .collect();
        assert!(lost.is_empty(), "lost {when}: {lost:?}");
        let more: Vec<_> = seen
            .iter()
            .filter(|(row, n)| self.is_known(row) && self.settled.get(row).unwrap_or(&0) < n)
            .collect();
        assert!(more.is_empty(), "counted twice or from nowhere {when}: {more:?}");
    }
}

/// Every row, read where it lies.
fn rows(snapshot: &Snapshot) -> Rows {
    let (mut rows, schema) = (Rows::new(), &snapshot.schema);
    for table in snapshot.memtables().flat_map(|memtable| memtable.hours.values()) {
        let names = table.users.to_array();
        let values: Vec<_> = (0..schema.dimensions().len())
            .map(|dimension| table.values.get(dimension).map(|values| values.to_array()))
            .collect();
        for chunk in table.chunks() {
            for i in 0..chunk.rows() {
                let user = names.value(chunk.users[i] as usize).to_string();
                let kind = schema.kind_of_code(chunk.kinds[i]).unwrap();
                let value = |dimension: usize| {
                    let code = chunk.values(dimension)?[i];
                    let name = values[dimension].as_ref().filter(|_| code != ABSENT)?;
                    Some((dimension as u8, name.value(code as usize).to_string()))
                };
                let values = (0..schema.dimensions().len()).filter_map(value).collect();
                *rows.entry((chunk.timestamps_us[i], user, kind, values)).or_default() += 1;
            }
        }
    }
    for file in snapshot.files.values().flat_map(|hour| &hour.files) {
        let read = async { snapshot.store.get(&file.location).await?.bytes().await };
        let bytes = futures::executor::block_on(read)
            .unwrap_or_else(|error: object_store::Error| panic!("{}: {error}", file.location));
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let timestamps = batch.column(0).as_primitive::<TimestampMicrosecondType>();
            let (users, kinds) =
                (batch.column(1).as_string::<i32>(), batch.column(2).as_string::<i32>());
            for i in 0..batch.num_rows() {
                let kind = schema.kind(kinds.value(i)).unwrap();
                let value = |(dimension, name): (usize, &String)| {
                    let column = batch.column_by_name(name)?.as_string::<i32>();
                    column.is_valid(i).then(|| (dimension as u8, column.value(i).to_string()))
                };
                let values = schema.dimensions().iter().enumerate().filter_map(value).collect();
                let row = (timestamps.value(i), users.value(i).to_string(), kind, values);
                *rows.entry(row).or_default() += 1;
            }
        }
    }
    rows
}
