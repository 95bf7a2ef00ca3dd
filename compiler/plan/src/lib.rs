//! Source tree and manifest in, steps and cache keys out; pure.
