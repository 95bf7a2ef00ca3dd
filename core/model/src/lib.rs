//! Names, ids, digests, limits, the app manifest and the classes of faults.
