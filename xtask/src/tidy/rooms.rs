//! Which room may know which: dependencies point down, never up, never sideways.

use anyhow::Result;

use super::House;

/// The rows of the house, lowest first. Rooms of one row do not know each other; crates of one room may.
const ROWS: &[&[&str]] = &[
    &["core"],
    &["store", "cgroups", "framing", "identity", "probes", "scheduling", "telemetry", "waiting", "sdk-macros"],
    &["compiler", "runtimes", "control", "gateway", "sdk-rust"],
    &["cli"],
    &["tests", "xtask"],
];

pub(super) fn check(house: &House) -> Result<Vec<String>> {
    let places = house.metadata.members().map(|(_, place)| place);
    let homeless = places.filter(|place| row(place).is_none());
    let mut findings: Vec<String> =
        homeless.map(|place| format!("{place} is in no room that tidy/rooms.rs knows")).collect();
    findings.extend(house.metadata.edges().into_iter().filter_map(|(from, to)| wrong(from, to)));
    Ok(findings)
}

fn wrong(from: &str, to: &str) -> Option<String> {
    let (above, below) = (row(from)?, row(to)?);
    if room(from) == room(to) || above > below {
        return None;
    }
    let way = if above == below { "sideways" } else { "up" };
    Some(format!("{from} depends on {to}: that is {way}; what both need belongs in a room below"))
}

fn room(place: &str) -> &str {
    place.split('/').next().unwrap_or(place)
}

fn row(place: &str) -> Option<usize> {
    ROWS.iter().position(|rooms| rooms.contains(&room(place)))
}

#[cfg(test)]
mod tests {
    use super::wrong;

    #[test]
    fn only_down_and_within_a_room() {
        for (from, to) in
            [("cli", "compiler/builder"), ("runtimes/host", "runtimes/executor"), ("sdk-rust", "sdk-macros")]
        {
            assert_eq!(wrong(from, to), None);
        }
        assert!(wrong("compiler/builder", "runtimes/host").is_some_and(|finding| finding.contains("sideways")));
        assert!(wrong("core/model", "store/meta").is_some_and(|finding| finding.contains("up")));
    }
}
