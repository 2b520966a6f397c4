//! Plans as text: what EXPLAIN shows of rollups and pruning.

use datafusion::physical_plan::displayable;
use hourglass::event::{EventBatch, EventKind};
use hourglass::hour::{HOUR_US, Hour};

use crate::support::{ManualClock, block_on, open, query_engine};

/// Three hours in files, the last of them in memory as well.
fn explain(rollups: bool, hour: Hour) -> String {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path(), ManualClock::at(3 * HOUR_US - 1));
        for flush in [true, false] {
            let mut batch = EventBatch::new();
            let first = if flush { 0 } else { 2 };
            (first..3).for_each(|hour| batch.push(hour * HOUR_US, "ana", EventKind::CLICK));
            engine.append(batch).await.unwrap();
            if flush {
                engine.flush().await.unwrap();
            }
        }
        let plan = query_engine(rollups).plan_hour_stats(&engine.snapshot(), hour).await.unwrap();
        let node = std::fs::read_to_string(dir.path().join("hourglass.json")).unwrap();
        let node: serde_json::Value = serde_json::from_str(&node).unwrap();
        // The node's name is the one thing that is never the same twice.
        displayable(plan.as_ref())
            .indent(false)
            .to_string()
            .replace(&node["node"].as_str().unwrap()[..8], "NODE")
    })
}

#[test]
fn the_numbers_of_an_hour_come_from_its_rollup() {
    insta::assert_snapshot!("hour_stats_by_rollup", explain(true, Hour(2)));
}

#[test]
fn without_rollups_the_hours_own_files_and_memory_are_scanned() {
    insta::assert_snapshot!("hour_stats_by_scan", explain(false, Hour(2)));
}
