//! The inherited end of the host's socket pair; the one place that takes a descriptor by its number.
#![allow(unsafe_code, reason = "a descriptor by its number is all the host can hand over")]

use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use ignite_core_abi::ENV_WORKER_FD;

use super::End;

/// Takes the socket that [`ENV_WORKER_FD`] names. Called once, before there are other threads.
pub(super) fn inherited() -> Result<UnixStream, End> {
    let Some(number) = std::env::var_os(ENV_WORKER_FD) else { return Err(End::ByHand) };
    let number: Option<RawFd> = number.to_str().and_then(|number| number.parse().ok()).filter(|number| *number > 2);
    let Some(number) = number else { return Err(not_a_socket("not the number of a descriptor above 2")) };

    // SAFETY: the number is not negative, and the borrow ends within this statement. Whether the descriptor is open is
    // for the system to say: duplicating one that is not fails.
    let duplicate = unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned();
    // The duplicate is closed on exec, so that no program a handler starts can speak with the host.
    let duplicate = duplicate.map_err(not_a_socket)?;
    // SAFETY: the descriptor is open, as the duplicate proves, and nothing in this process owns it: it was inherited, and
    // `main` has done nothing before this.
    drop(unsafe { OwnedFd::from_raw_fd(number) });

    let socket = UnixStream::from(duplicate);
    // Asks the system whether it is a socket at all.
    socket.local_addr().map_err(not_a_socket)?;
    Ok(socket)
}

fn not_a_socket(cause: impl std::fmt::Display) -> End {
    End::Fault(format!("{ENV_WORKER_FD} does not name the host's socket: {cause}"))
}
