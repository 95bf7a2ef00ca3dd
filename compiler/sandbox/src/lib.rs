//! Runs one step inside an unpacked root file system.
