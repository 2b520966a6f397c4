//! What the engine asks of an object store, in one suite that runs over every store there is: the
//! one over the simulated disk, the one over the machine's, and that of the library in memory,
//! which shows that the suite asks for nothing of our own.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use hourglass::storage::VfsStore;
use hourglass::storage::vfs::Disk;
use object_store::memory::InMemory;
use object_store::path::Path as Location;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload,
};

use crate::simulation::disk::SimDisk;
use crate::support::block_on;

type Store = dyn ObjectStore;

fn at(path: &str) -> Location {
    Location::from(path)
}

async fn put(store: &Store, path: &str, bytes: &'static [u8]) {
    store.put(&at(path), PutPayload::from_static(bytes)).await.unwrap();
}

async fn read(store: &Store, path: &str) -> Bytes {
    store.get(&at(path)).await.unwrap().bytes().await.unwrap()
}

fn is_missing<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::NotFound { .. }))
}

/// Every object below `prefix`, in the order in which they are listed.
async fn listed(store: &Store, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(at);
    let objects: Vec<_> = store.list(prefix.as_ref()).try_collect().await.unwrap();
    objects.into_iter().map(|object| object.location.to_string()).collect()
}

async fn what_is_put_is_read_whole_and_in_parts(store: &Store) {
    put(store, "a/object", b"0123456789").await;
    put(store, "a/empty", b"").await;
    assert_eq!(read(store, "a/object").await, "0123456789");
    assert_eq!(read(store, "a/empty").await, "");
    let head = store.head(&at("a/object")).await.unwrap();
    assert_eq!((head.size, head.location), (10, at("a/object")));
    for (range, expected) in [
        (GetRange::Bounded(2..5), "234"),
        (GetRange::Bounded(8..100), "89"),
        (GetRange::Offset(7), "789"),
        (GetRange::Suffix(4), "6789"),
    ] {
        let options = GetOptions { range: Some(range.clone()), ..GetOptions::default() };
        let part = store.get_opts(&at("a/object"), options).await.unwrap().bytes().await.unwrap();
        assert_eq!(part, expected, "{range:?}");
    }
    let parts = store.get_ranges(&at("a/object"), &[0..1, 4..6, 9..10]).await.unwrap();
    assert_eq!(parts, ["0", "45", "9"]);
    put(store, "a/object", b"other").await;
    assert_eq!(read(store, "a/object").await, "other", "a put replaces the whole object");
}

async fn what_is_not_there_is_told_as_missing(store: &Store) {
    let nowhere = at("missing/object");
    assert!(is_missing(store.get(&nowhere).await));
    assert!(is_missing(store.head(&nowhere).await));
    assert!(is_missing(store.get_range(&nowhere, 0..1).await));
    assert!(is_missing(store.copy(&nowhere, &at("missing/copy")).await));
    assert_eq!(listed(store, Some("missing")).await, [""; 0]);
    // A folder is no object.
    put(store, "folder/object", b"x").await;
    assert!(is_missing(store.head(&at("folder")).await));
}

async fn a_name_that_must_be_new_is_given_once(store: &Store) {
    let create = || PutOptions::from(PutMode::Create);
    let commit = at("_delta_log/0.json");
    store.put_opts(&commit, "first".into(), create()).await.unwrap();
    let again = store.put_opts(&commit, "second".into(), create()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    assert_eq!(read(store, "_delta_log/0.json").await, "first");
    let contested = at("_delta_log/1.json");
    let all = (0..8).map(|n| store.put_opts(&contested, format!("writer {n}").into(), create()));
    let outcomes = futures::future::join_all(all).await;
    let winners: Vec<usize> = (0..8).filter(|n| outcomes[*n].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    assert_eq!(read(store, "_delta_log/1.json").await, format!("writer {}", winners[0]));
}

async fn a_listing_has_whole_names_in_their_order(store: &Store) {
    for path in ["list/b/2", "list/b/1", "list/a", "list/bc", "list/c=1/d e/é%", "listed"] {
        put(store, path, b"x").await;
    }
    let all = ["list/a", "list/b/1", "list/b/2", "list/bc", "list/c=1/d e/é%"]
        .map(|path| at(path).to_string());
    assert_eq!(listed(store, Some("list")).await, all);
    assert_eq!(listed(store, Some("list/b")).await, ["list/b/1", "list/b/2"], "not list/bc");
    for location in &all {
        assert_eq!(
            store.get(&Location::parse(location).unwrap()).await.unwrap().bytes().await.unwrap(),
            "x"
        );
    }
    let level = store.list_with_delimiter(Some(&at("list"))).await.unwrap();
    let objects: Vec<&str> = level.objects.iter().map(|object| object.location.as_ref()).collect();
    let folders: Vec<&str> = level.common_prefixes.iter().map(AsRef::as_ref).collect();
    assert_eq!((objects, folders), (vec!["list/a", "list/bc"], vec!["list/b", "list/c=1"]));
    let later: Vec<_> =
        store.list_with_offset(Some(&at("list")), &at("list/b/1")).try_collect().await.unwrap();
    assert_eq!(later.len(), 3, "{later:?}");
    assert!(listed(store, None).await.len() > all.len());
}

async fn what_is_removed_or_moved_is_gone(store: &Store) {
    put(store, "move/a", b"a").await;
    put(store, "move/b", b"b").await;
    store.copy(&at("move/a"), &at("move/c")).await.unwrap();
    assert_eq!(
        (read(store, "move/a").await, read(store, "move/c").await),
        ("a".into(), "a".into())
    );
    let once = CopyOptions { mode: CopyMode::Create, ..CopyOptions::default() };
    let taken = store.copy_opts(&at("move/b"), &at("move/c"), once).await;
    assert!(matches!(taken, Err(Error::AlreadyExists { .. })), "{taken:?}");
    store.rename(&at("move/b"), &at("move/c")).await.unwrap();
    assert_eq!(read(store, "move/c").await, "b");
    assert!(is_missing(store.head(&at("move/b")).await));
    store.delete(&at("move/a")).await.unwrap();
    assert_eq!(listed(store, Some("move")).await, ["move/c"]);
}

async fn an_upload_in_parts_is_there_whole_or_not_at_all(store: &Store) {
    let whole = at("upload/whole");
    let mut upload = store.put_multipart(&whole).await.unwrap();
    upload.put_part("one, ".into()).await.unwrap();
    assert!(is_missing(store.head(&whole).await));
    upload.put_part("two".into()).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(read(store, "upload/whole").await, "one, two");
    let mut given_up = store.put_multipart(&at("upload/part")).await.unwrap();
    given_up.put_part("one".into()).await.unwrap();
    given_up.abort().await.unwrap();
    assert_eq!(listed(store, Some("upload")).await, ["upload/whole"]);
}

async fn conforms(store: Arc<Store>) {
    what_is_put_is_read_whole_and_in_parts(&*store).await;
    what_is_not_there_is_told_as_missing(&*store).await;
    a_name_that_must_be_new_is_given_once(&*store).await;
    a_listing_has_whole_names_in_their_order(&*store).await;
    what_is_removed_or_moved_is_gone(&*store).await;
    an_upload_in_parts_is_there_whole_or_not_at_all(&*store).await;
}

#[test]
fn every_store_keeps_the_promises_that_the_engine_relies_on() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        conforms(Arc::new(InMemory::new())).await;
        conforms(Arc::new(VfsStore::new(Arc::new(Disk), dir.path()))).await;
        conforms(Arc::new(VfsStore::new(Arc::new(SimDisk::new()), "/store"))).await;
    });
}

#[test]
fn a_store_keeps_them_on_a_runtime_of_one_thread_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(conforms(Arc::new(VfsStore::new(Arc::new(SimDisk::new()), "/store"))));
}
