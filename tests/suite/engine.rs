//! The engine against a plain model: appends, flushes, hours turning, restarts.

use hourglass::event::{EventBatch, EventKind};
use hourglass::hour::HOUR_US;

use crate::support::{ManualClock, Model, assert_answers, block_on, open, random};

/// A batch of up to `max` events: most in the current hour, some late, few users or many.
fn random_batch(seed: &mut u64, now_us: i64, max: u64) -> EventBatch {
    let mut batch = EventBatch::new();
    for _ in 0..1 + random(seed, max) {
        let late_hours = if random(seed, 20) == 0 { random(seed, 6) as i64 } else { 0 };
        let start = now_us - now_us % HOUR_US - late_hours * HOUR_US;
        let us = start + random(seed, HOUR_US as u64) as i64;
        let users = if random(seed, 2) == 0 { 20 } else { 2_000 };
        let user = format!("visitor-{}", random(seed, users));
        let kind = EventKind::CONTRACT[random(seed, 2) as usize];
        batch.push(us, &user, kind);
    }
    batch
}

#[test]
fn every_answer_equals_the_models_across_flushes_late_events_hour_turns_and_restarts() {
    block_on(async {
        for mut seed in 0..12_u64 {
            let dir = tempfile::tempdir().unwrap();
            let mut now_us = 500_000 * HOUR_US + 1;
            let clock = ManualClock::at(now_us);
            let mut engine = open(dir.path(), clock.clone());
            let mut model = Model::default();
            for _ in 0..25 {
                match random(&mut seed, 12) {
                    0..7 => {
                        let max = [3, 300, 3_000][random(&mut seed, 3) as usize];
                        let batch = random_batch(&mut seed, now_us, max);
                        model.add(&batch);
                        engine.append(batch).await.unwrap();
                    }
                    7..9 => engine.flush().await.unwrap(),
                    9 => {
                        now_us += HOUR_US;
                        clock.set(now_us);
                    }
                    10 => {
                        tokio::task::block_in_place(|| engine.close()).unwrap();
                        drop(engine);
                        engine = open(dir.path(), clock.clone());
                    }
                    _ => assert_answers(&engine.snapshot(), &model).await,
                }
            }
            assert_answers(&engine.snapshot(), &model).await;
            engine.flush().await.unwrap();
            assert_answers(&engine.snapshot(), &model).await;
            assert!(engine.snapshot().active.is_empty());
        }
    });
}

#[test]
fn rollups_and_the_last_lsn_survive_checkpoints_of_the_delta_log() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(HOUR_US);
        let engine = open(dir.path(), clock.clone());
        let (mut seed, mut model) = (3, Model::default());
        for n in 0..55 {
            let batch = random_batch(&mut seed, (10 + n) * HOUR_US, 20);
            model.add(&batch);
            engine.append(batch).await.unwrap();
            engine.flush().await.unwrap();
        }
        assert!(dir.path().join("events/_delta_log/_last_checkpoint").exists());
        tokio::task::block_in_place(|| engine.close()).unwrap();
        drop(engine);
        let engine = open(dir.path(), clock);
        assert!(engine.snapshot().active.is_empty(), "nothing is replayed twice");
        assert_answers(&engine.snapshot(), &model).await;
    });
}
