//! The artifact format: write, read and verify, over Read and Write.
