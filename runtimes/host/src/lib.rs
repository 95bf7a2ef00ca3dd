//! The HTTP host: listen, admit, invoke, drain, report.
