//! The queues by one contract, the worker with real compiles, and the program that is killed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod contract;
mod fake;
mod left;
mod program;
mod real;
mod stage;
mod worker;

/// Makes a test of each case for each queue.
macro_rules! contract {
    ($($module:ident: $($case:ident),+;)+) => {
        mod memory { $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::$module::$case(&crate::stage::Stage::memory()).await;
            }
        )+)+ }
        mod sqlite { $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::$module::$case(&crate::stage::Stage::sqlite().await).await;
            }
        )+)+ }
        mod postgres_queue { $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::$module::$case(&crate::stage::Stage::postgres().await).await;
            }
        )+)+ }
    };
}

contract! {
    contract: a_job_is_leased_by_one_and_ended, a_lapsed_lease_is_taken_over_and_its_first_holder_is_not_heard,
        a_job_that_is_lost_too_often_ends, a_job_is_over_in_time, a_cancel_is_heard_of_and_wins,
        lines_have_no_gap_across_attempts, a_job_that_is_given_back_waits, a_source_is_whole_or_not_there,
        an_artifact_is_stored, many_who_lease_never_hold_one_job, who_waits_is_woken;
    worker: a_worker_compiles_what_is_queued, no_more_run_at_once_than_is_allowed, a_cancel_stops_a_compile,
        a_fault_of_the_platform_is_tried_again_and_told_at_last, a_killed_workers_lines_go_on_without_a_gap,
        a_worker_that_drains_gives_back, a_compiler_that_panics_ends_nothing_else, a_flood_of_lines_is_whole;
}
