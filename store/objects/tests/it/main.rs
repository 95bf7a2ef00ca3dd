//! One contract for both stores: each case runs on a folder and on a real S3 server, and what only one of them has.
#![allow(clippy::unwrap_used, reason = "a test")]

mod contract;
mod folder;
mod presigned;
mod support;

/// Makes a test of each case for each store.
macro_rules! contract {
    ($($case:ident),+ $(,)?) => {
        mod on_folder { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let store = crate::support::folder();
                crate::contract::$case(&store.objects).await;
            }
        )+ }
        mod on_s3 { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let store = crate::support::s3(None);
                crate::contract::$case(&store.objects).await;
            }
        )+ }
        mod on_s3_with_a_prefix { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let store = crate::support::s3(Some("shared/ignite"));
                crate::contract::$case(&store.objects).await;
            }
        )+ }
    };
}

contract! {
    what_was_put_can_be_got,
    a_part_can_be_got,
    a_large_object_goes_through_in_parts,
    nothing_is_stored_that_was_not_promised,
    what_was_there_stays_when_a_put_fails,
    a_put_that_is_dropped_leaves_nothing,
    many_write_one_key_at_once,
    lists_are_pages_in_order,
    deleting_twice_is_no_error,
    a_copy_has_a_life_of_its_own,
    an_object_is_verified,
    all_objects_are_copied_to_another_store,
}
