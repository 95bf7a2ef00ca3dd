//! One contract for both databases: each case runs on a SQLite file and on a real Postgres.
#![allow(clippy::unwrap_used, reason = "a test")]

mod apps;
mod backup;
mod changes;
mod claim;
mod durability;
mod executions;
mod faults;
mod figures;
mod jobs;
mod logs;
mod organizations;
mod outbox;
mod schema;
mod secrets;
mod support;
mod uploads;

/// Makes a test of each case for each database.
macro_rules! contract {
    ($($module:ident: $($case:ident),+;)+) => {
        mod sqlite { $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let store = crate::support::Store::sqlite().await;
                crate::$module::$case(&store.meta).await;
                store.meta.close().await;
            }
        )+)+ }
        mod postgres { $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let store = crate::support::Store::postgres().await;
                crate::$module::$case(&store.meta).await;
                store.meta.close().await;
            }
        )+)+ }
    };
}

contract! {
    organizations: a_token_is_found_by_its_hash_until_it_is_revoked, an_organization_is_made_once;
    apps: an_app_is_made_once, two_apps_do_not_share_a_label, a_stale_change_writes_nothing, a_race_has_one_winner,
        a_version_never_changes, an_erased_app_leaves_nothing, lists_are_pages, objects_in_use_are_known,
        what_is_too_large_is_refused;
    changes: a_follower_sees_every_change_in_order, one_who_is_far_behind_reads_a_snapshot,
        concurrent_changes_leave_no_hole, an_agents_report_changes_only_what_differs, scaling_keeps_the_generation,
        a_change_wakes_who_waits, watchers_are_remembered_while_they_are_heard_of;
    claim: a_claim_is_one_holders_until_it_lets_go;
    jobs: a_job_is_leased_renewed_and_finished, a_lapsed_lease_goes_to_another, a_job_that_is_lost_too_often_ends,
        a_job_ends_in_time, cancel_wins, the_end_of_a_job_is_told_until_settled, two_leasers_never_hold_one_job,
        a_released_job_waits_again, who_starts_again_gives_back_what_it_had;
    outbox: effects_are_leased_in_order_and_done_once, an_effect_put_off_comes_back_with_its_error,
        two_carriers_never_hold_one_effect;
    logs: lines_have_no_gap, a_batch_sent_twice_is_stored_once, a_stream_is_trimmed, streams_are_listed_and_swept,
        appenders_at_once_leave_no_gap, only_who_has_a_job_appends_for_it;
    executions: an_accepted_execution_is_carried_out, an_execution_is_put_off_and_leased_again, a_cancelled_execution_stays_so,
        executions_are_listed_and_counted, ended_executions_are_swept, two_leasers_never_hold_one_execution,
        an_app_with_a_long_queue_does_not_stand_in_the_way, an_execution_is_found_by_its_id_alone,
        the_newest_ended_executions_are_kept, who_begins_anew_takes_up_what_it_had;
    secrets: a_secret_is_written_and_never_listed;
    backup: a_dump_goes_into_either_database, a_dump_shows_one_moment, a_damaged_dump_changes_nothing;
    uploads: an_upload_is_used_once, unused_uploads_are_swept;
}
