//! One trace from the caller to the instance.

use ignite_core_model::{AppSettings, TraceContext};

use crate::instance::FakeInstance;
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_continued_or_begun() {
    let stage = Stage::new(AppSettings { allow_unauthenticated: true, ..AppSettings::default() }).await;
    let mut instance = FakeInstance::start("hello").await;
    stage.instances(1, &[(instance.address, 4)]).await;
    let said = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let (line, host) = ("GET / HTTP/1.1", "host: hello-acme.ignite.localhost");
    let mut passed_on = async |lines: &[&str]| {
        assert_eq!(stage.call(lines, "").await.status, 200);
        let asked = instance.asked.recv().await.unwrap();
        let values: Vec<_> = asked.head.headers.get_all("traceparent").iter().cloned().collect();
        assert_eq!(values.len(), 1, "{values:?}");
        values[0].to_str().unwrap().to_owned()
    };
    // No collector is told of this gateway's part, so what the caller says stays true as it is.
    assert_eq!(passed_on(&[line, host, said]).await, said.trim_start_matches("traceparent: "));
    // What is not valid, or said twice, is replaced.
    let other = "traceparent: 00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for lines in [
        vec![line, host],
        vec![line, host, "traceparent: nonsense"],
        vec![line, host, "traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01"],
        vec![line, host, said, other],
    ] {
        let begun: TraceContext = passed_on(&lines).await.parse().unwrap();
        let trace = begun.trace.to_string();
        assert!(!said.contains(&trace) && !other.contains(&trace), "{lines:?}: {begun}");
    }
}
