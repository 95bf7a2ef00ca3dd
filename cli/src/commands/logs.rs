//! `ignite app logs` and `ignite app events`

use std::mem::take;

use ignite_core_proto::v1;

use crate::args::app::{AppEventsArgs, AppLogsArgs};
use crate::client::{Client, Heard, Interrupt, follow};
use crate::connection::Connection;
use crate::exit::{CliError, Exit};
use crate::show;
use crate::ui::Ui;

/// How much later a line may come than one that another instance printed after it, in milliseconds.
const HOLD_MS: i64 = 300;

/// Lines that are held back to be put in order.
const HELD_MAX: usize = 10_000;

/// Lines of many instances, in the order of their times as far as they come at about the same time.
#[derive(Default)]
struct Merge {
    held: Vec<v1::LogLine>,
}

impl Merge {
    /// Takes lines, and gives those that nothing can stand before any more.
    fn add(&mut self, lines: Vec<v1::LogLine>) -> Vec<v1::LogLine> {
        self.held.extend(lines);
        self.held.sort_by_key(|line| (line.timestamp_ms, line.sequence));
        let newest = self.held.last().map_or(0, |line| line.timestamp_ms);
        let ripe = self.held.partition_point(|line| line.timestamp_ms <= newest - HOLD_MS);
        let ripe = ripe.max(self.held.len().saturating_sub(HELD_MAX));
        self.held.drain(..ripe).collect()
    }

    /// Gives all there are: nothing more came for a while.
    fn flush(&mut self) -> Vec<v1::LogLine> {
        take(&mut self.held)
    }
}

pub(crate) fn lines(
    args: &AppLogsArgs,
    connection: &Connection,
    client: &Client,
    ui: &mut Ui,
) -> Result<Exit, CliError> {
    let app = connection.app(&args.app)?;
    let what = || format!("could not read the logs of `{app}`");
    let instance = args.instance.clone().unwrap_or_default();
    let execution = args.execution.clone().unwrap_or_default();
    let request = v1::GetAppLogsRequest {
        app_id: app.clone(),
        // 0 is the server's own number there.
        limit: args.tail.max(1),
        instance_id: instance.clone(),
        execution_id: execution.clone(),
        ..Default::default()
    };
    if !args.follow {
        let mut answer = client.call(&request).map_err(|error| error.told(what()))?;
        answer.lines.sort_by_key(|line| (line.timestamp_ms, line.sequence));
        if args.tail == 0 {
            answer.lines.clear();
        }
        if answer.lines.is_empty() {
            ui.say("nothing was printed");
        }
        return print(answer.lines, ui).map(|()| Exit::Done);
    }
    let interrupt = Interrupt::listen()?;
    let mut merge = Merge::default();
    let request =
        v1::StreamAppLogsRequest { app_id: app.clone(), tail: args.tail, instance_id: instance, ..Default::default() };
    let followed = follow(client, request, &interrupt, &mut |heard| match heard {
        Heard::Message(message) => {
            if message.dropped > 0 {
                ui.say(&format!("{} lines were dropped: they came faster than they could be kept", message.dropped));
            }
            let fits = |line: &v1::LogLine| execution.is_empty() || line.execution_id == execution;
            print(merge.add(message.lines.into_iter().filter(fits).collect()), ui)
        }
        Heard::Quiet => print(merge.flush(), ui),
    });
    print(merge.flush(), ui)?;
    followed.map_err(|error| error.told(what()))?;
    Ok(Exit::Done)
}

fn print(lines: Vec<v1::LogLine>, ui: &mut Ui) -> Result<(), CliError> {
    lines.iter().try_for_each(|line| ui.item(line, show::line))
}

pub(crate) fn events(
    args: &AppEventsArgs,
    connection: &Connection,
    client: &Client,
    ui: &mut Ui,
) -> Result<Exit, CliError> {
    let app = connection.app(&args.app)?;
    let what = || format!("could not read the events of `{app}`");
    let request = v1::GetAppEventsRequest { app_id: app.clone(), limit: args.tail.max(1), ..Default::default() };
    let mut past = client.call(&request).map_err(|error| error.told(what()))?.events;
    let next = past.last().map_or(0, |last| last.sequence + 1);
    if args.tail == 0 {
        past.clear();
    }
    past.iter().try_for_each(|event| ui.item(event, show::event))?;
    if !args.follow {
        return Ok(Exit::Done);
    }
    let interrupt = Interrupt::listen()?;
    let request = v1::StreamAppEventsRequest { app_id: app.clone(), from_sequence: next, ..Default::default() };
    let followed = follow(client, request, &interrupt, &mut |heard| match heard {
        Heard::Message(message) => message.events.iter().try_for_each(|event| ui.item(event, show::event)),
        Heard::Quiet => Ok(()),
    });
    followed.map_err(|error| error.told(what()))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sequence: u64, timestamp_ms: i64) -> v1::LogLine {
        v1::LogLine { sequence, timestamp_ms, ..Default::default() }
    }

    fn order(lines: &[v1::LogLine]) -> Vec<u64> {
        lines.iter().map(|line| line.sequence).collect()
    }

    #[test]
    fn lines_of_several_instances_stand_in_the_order_of_their_times() {
        let mut merge = Merge::default();
        assert_eq!(order(&merge.add(vec![line(1, 1000), line(2, 1500)])), [1]);
        // Another instance's line, printed before and sent after.
        assert_eq!(order(&merge.add(vec![line(3, 1400), line(4, 1900)])), [3, 2]);
        assert_eq!(order(&merge.flush()), [4]);
        assert_eq!(order(&merge.flush()), [] as [u64; 0]);
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let mut merge = Merge::default();
        let many = (0..HELD_MAX as u64 + 5).map(|sequence| line(sequence, 1000)).collect();
        assert_eq!(merge.add(many).len(), 5);
    }
}
