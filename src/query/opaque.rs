//! A value whose type the compiler need not look into.
//!
//! To prove that a plan or a statement's tree is `Send` takes the compiler ten seconds: hundreds of
//! types name each other in circles, and such proofs are not kept. Every future that holds one, and
//! every function that hands it on, asks anew.

use std::any::Any;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

/// A shared value, `Send` and `Sync` by what it is made from. Clones in constant time.
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
