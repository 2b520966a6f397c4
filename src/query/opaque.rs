//! A shared value whose type is hidden from the compiler's auto trait checks.
//!
//! Proving that a plan or a syntax tree is `Send` takes the compiler ten seconds: hundreds of types
//! refer to each other in cycles, and such proofs are not cached. Every future that holds one, and
//! every function that passes it on, repeats the proof.

use std::any::Any;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

/// A shared value that is `Send` and `Sync` by construction. Clones in constant time.
#[derive(Debug)]
pub struct Opaque<T>(Arc<dyn Any + Send + Sync>, PhantomData<fn() -> T>);

impl<T: Any + Send + Sync> Opaque<T> {
    pub fn new(value: T) -> Opaque<T> {
        Opaque(Arc::new(value), PhantomData)
    }
}

impl<T> Clone for Opaque<T> {
    fn clone(&self) -> Opaque<T> {
        Opaque(self.0.clone(), PhantomData)
    }
}

impl<T: Any> Deref for Opaque<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.downcast_ref().expect("it was made from one")
    }
}
