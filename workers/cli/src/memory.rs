//! How the command's C library keeps memory that was freed.

/// Parts of memory that threads allocate from. By default glibc makes eight for each core, and what is free in one is not used for
/// another: batches are made by one thread and freed by others, so every part would grow to the size of a batch.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: i32 = 2;

/// Sets it, before there are other threads.
pub(crate) fn settle() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "the C library has no other way, and the call takes two numbers")]
    // SAFETY: no pointers are passed, and no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}
