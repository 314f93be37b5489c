//! Owned pointers of librdkafka, which are freed when they are dropped.
#![expect(unsafe_code, reason = "librdkafka frees through its C interface")]

use std::ptr::NonNull;

/// Something that librdkafka handed out and wants back.
pub(crate) struct Owned<T> {
    pointer: NonNull<T>,
    give_back: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// Takes `pointer`, which `give_back` destroys, unless it is null.
    pub(crate) fn new(pointer: *mut T, give_back: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        Some(Self { pointer: NonNull::new(pointer)?, give_back })
    }

    pub(crate) fn ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the call whose counterpart `give_back` is, and is given back here only.
        unsafe { (self.give_back)(self.ptr()) }
    }
}
