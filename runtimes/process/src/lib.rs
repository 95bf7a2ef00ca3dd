//! Executor that starts and watches language workers and speaks worker frames.
