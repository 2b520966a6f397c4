//! A disk in memory that forgets like a real one.
//!
//! What programs see and what would survive a power cut are kept apart, file by file and folder by
//! folder. Until its sync, a write may be on the platters, or not, or in part (any of its sectors);
//! a name created, replaced or removed may be there or not, each change of a folder for itself.
//! That is more than a journaling file system would lose, and all that POSIX promises. A file's
//! sync that fails loses the writes it was for while programs go on seeing them, as Linux does
//! (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). A folder's
//! sync that fails leaves its changes pending: names are journaled, and a journal that fails takes
//! the whole file system down.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use hourglass::storage::vfs::{Entry, Lock, Meta, Room, Vfs, VfsFile};

use crate::support::random;

/// What a disk writes whole.
const SECTOR: usize = 512;

/// What a power cut leaves of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// The process died, the system did not.
    All,
    Nothing,
    /// Each change for itself, writes by sectors.
    Some,
}

#[derive(Debug)]
enum Edit {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

/// A change of a folder: names and what they stand for afterwards. A rename is two names at once.
type Change = Vec<(String, Option<usize>)>;

#[derive(Debug)]
enum Node {
    File { seen: Vec<u8>, durable: Vec<u8>, pending: Vec<Edit> },
    Folder { seen: BTreeMap<String, usize>, durable: BTreeMap<String, usize>, pending: Vec<Change> },
}

#[derive(Debug)]
struct State {
    /// By number; 0 is the root. Those without a name stay, as an open file does.
    nodes: Vec<Node>,
    /// Counts the power cuts: a handle from before one is dead.
    life: u64,
    power: bool,
    locks: BTreeSet<PathBuf>,
    /// A clock of changes.
    ticks: i64,
}

/// The disk; clones share it.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<State>>);

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    match edit {
        Edit::SetLen(len) => bytes.resize(*len, 0),
        Edit::Write(offset, written) => {
            let end = offset + written.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(written);
        }
    }
}

fn change(names: &mut BTreeMap<String, usize>, change: &Change) {
    for (name, node) in change {
        match node {
            Some(node) => names.insert(name.clone(), *node),
            None => names.remove(name),
        };
    }
}

/// The same write as far as the sectors that `seed` chooses.
fn tear(bytes: &mut Vec<u8>, offset: usize, written: &[u8], seed: &mut u64) {
    let mut at = 0;
    while at < written.len() {
        let len = (SECTOR - (offset + at) % SECTOR).min(written.len() - at);
        if random(seed, 2) == 0 {
            apply(bytes, &Edit::Write(offset + at, written[at..at + len].to_vec()));
        }
        at += len;
    }
}

impl Node {
    fn file() -> Node {
        Node::File { seen: Vec::new(), durable: Vec::new(), pending: Vec::new() }
    }

    fn folder() -> Node {
        Node::Folder { seen: BTreeMap::new(), durable: BTreeMap::new(), pending: Vec::new() }
    }

    fn sync(&mut self) {
        match self {
            Node::File { durable, pending, .. } => {
                pending.drain(..).for_each(|edit| apply(durable, &edit))
            }
            Node::Folder { durable, pending, .. } => {
                pending.drain(..).for_each(|one| change(durable, &one))
            }
        }
    }

    fn cut(&mut self, seed: &mut u64) {
        match self {
            Node::File { seen, durable, pending } => {
                for edit in pending.drain(..) {
                    match (random(seed, 3), &edit) {
                        (0, _) => apply(durable, &edit),
                        (1, Edit::Write(offset, written)) => tear(durable, *offset, written, seed),
                        _ => {}
                    }
                }
                seen.clone_from(durable);
            }
            Node::Folder { seen, durable, pending } => {
                pending
                    .drain(..)
                    .filter(|_| random(seed, 2) == 0)
                    .for_each(|one| change(durable, &one));
                seen.clone_from(durable);
            }
        }
    }

    fn forget(&mut self) {
        match self {
            Node::File { pending, .. } => pending.clear(),
            Node::Folder { pending, .. } => pending.clear(),
        }
    }
}

fn no_power() -> io::Error {
    io::Error::other("the power is off")
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn name(path: &Path) -> String {
    path.file_name().expect("a path below the root").to_string_lossy().into()
}

impl State {
    fn find(&self, path: &Path) -> io::Result<usize> {
        let parts = path.components().filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy()),
            _ => None,
        });
        let mut at = 0;
        for part in parts {
            let Node::Folder { seen, .. } = &self.nodes[at] else {
                return Err(io::ErrorKind::NotADirectory.into());
            };
            at = *seen.get(&*part).ok_or_else(not_found)?;
        }
        Ok(at)
    }

    fn folder_of(&self, path: &Path) -> io::Result<usize> {
        self.find(path.parent().expect("a path below the root"))
    }

    fn change(&mut self, folder: usize, one: Change) -> io::Result<()> {
        self.ticks += 1;
        let Node::Folder { seen, pending, .. } = &mut self.nodes[folder] else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        change(seen, &one);
        pending.push(one);
        Ok(())
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let (folder, number) = (self.folder_of(path)?, self.nodes.len());
        self.nodes.push(node);
        self.change(folder, vec![(name(path), Some(number))])?;
        Ok(number)
    }

    fn edit(&mut self, number: usize, edit: Edit) {
        self.ticks += 1;
        let Node::File { seen, pending, .. } = &mut self.nodes[number] else {
            unreachable!("handles are of files")
        };
        apply(seen, &edit);
        pending.push(edit);
    }

    fn seen(&self, number: usize) -> &[u8] {
        match &self.nodes[number] {
            Node::File { seen, .. } => seen,
            Node::Folder { .. } => &[],
        }
    }

    fn meta(&self, number: usize) -> Meta {
        let is_dir = matches!(self.nodes[number], Node::Folder { .. });
        Meta { is_dir, len: self.seen(number).len() as u64, modified_us: self.ticks }
    }
}

impl SimDisk {
    pub fn new() -> SimDisk {
        let (nodes, locks) = (vec![Node::folder()], BTreeSet::new());
        SimDisk(Arc::new(Mutex::new(State { nodes, life: 0, power: true, locks, ticks: 0 })))
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic under this lock")
    }

    fn powered(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.lock_state();
        if state.power { Ok(state) } else { Err(no_power()) }
    }

    /// From now on nothing works.
    pub fn cut_power(&self) {
        self.lock_state().power = false;
    }

    pub fn has_power(&self) -> bool {
        self.lock_state().power
    }

    /// Everything works again, on what survived.
    pub fn restore_power(&self, survives: Survives, mut seed: u64) {
        let mut state = self.lock_state();
        (state.power, state.life) = (true, state.life + 1);
        for node in &mut state.nodes {
            match survives {
                Survives::All => {}
                Survives::Nothing => {
                    node.forget();
                    node.cut(&mut 0);
                }
                Survives::Some => node.cut(&mut seed),
            }
        }
    }

    /// What a failed sync of the file at `path` does to the writes it was for.
    pub fn forget_unsynced(&self, path: &Path) {
        let mut state = self.lock_state();
        if let Ok(number) = state.find(path) {
            state.nodes[number].forget();
        }
    }

    /// A file written whole and durable, by somebody else.
    pub fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.powered()?;
        let number = state.add(path, Node::file())?;
        state.edit(number, Edit::Write(0, bytes.to_vec()));
        let folder = state.folder_of(path)?;
        state.nodes[number].sync();
        state.nodes[folder].sync();
        Ok(())
    }

    fn handle(&self, state: &State, number: usize) -> Arc<dyn VfsFile> {
        Arc::new(SimFile { disk: self.clone(), number, life: state.life })
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    number: usize,
    life: u64,
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.powered()?;
        if state.life == self.life { Ok(state) } else { Err(no_power()) }
    }
}

impl VfsFile for SimFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.state()?;
        let bytes =
            state.seen(self.number).get(offset as usize..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.state()?.edit(self.number, Edit::Write(offset as usize, buf.to_vec()));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.state()?.nodes[self.number].sync();
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state()?.edit(self.number, Edit::SetLen(len as usize));
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.state()?.seen(self.number).len() as u64)
    }
}

#[derive(Debug)]
struct SimLock(SimDisk, PathBuf);

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.lock_state().locks.remove(&self.1);
    }
}

impl Vfs for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        let state = self.powered()?;
        Ok(self.handle(&state, state.find(path)?))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        let mut state = self.powered()?;
        let number = match state.find(path) {
            Ok(number) => number,
            Err(_) => state.add(path, Node::file())?,
        };
        state.edit(number, Edit::SetLen(0));
        Ok(self.handle(&state, number))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.powered()?;
        for folder in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
            if state.find(folder).is_err() {
                state.add(folder, Node::folder())?;
            }
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.powered()?;
        let (number, folder) = (state.find(from)?, state.folder_of(from)?);
        assert_eq!(folder, state.folder_of(to)?, "a rename across folders is none this disk knows");
        state.change(folder, vec![(name(from), None), (name(to), Some(number))])
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.powered()?;
        if state.find(to).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (number, folder) = (state.find(from)?, state.folder_of(to)?);
        state.change(folder, vec![(name(to), Some(number))])
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.powered()?;
        state.find(path)?;
        let folder = state.folder_of(path)?;
        state.change(folder, vec![(name(path), None)])
    }

    fn metadata(&self, path: &Path) -> io::Result<Meta> {
        let state = self.powered()?;
        Ok(state.meta(state.find(path)?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = self.powered()?;
        match &state.nodes[state.find(dir)?] {
            Node::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
            Node::Folder { seen, .. } => {
                let entry = |(name, number): (&String, &usize)| Entry {
                    name: name.clone(),
                    meta: state.meta(*number),
                };
                Ok(seen.iter().map(entry).collect())
            }
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.powered()?;
        let number = state.find(dir)?;
        state.nodes[number].sync();
        Ok(())
    }

    fn sync_filesystem(&self, _: &Path) -> io::Result<()> {
        self.powered()?.nodes.iter_mut().for_each(Node::sync);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut state = self.powered()?;
        if state.find(path).is_err() {
            state.add(path, Node::file())?;
        }
        if state.locks.insert(path.into()) {
            Ok(Box::new(SimLock(self.clone(), path.into())))
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    fn room(&self, _: &Path) -> io::Result<Room> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
