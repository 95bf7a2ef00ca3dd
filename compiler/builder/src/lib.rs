//! The compile worker: plan, run, pack, report.
