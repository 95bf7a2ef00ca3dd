//! A seeded world of unreliable builders, agents and gateways around the state machine.
//!
//! One seed is one run: some hundred steps of random commands and faults, a check of the invariants after each, and a quiet
//! time at the end in which everything must come to rest. `IGNITE_SIM_SEED` runs one seed alone, `IGNITE_SIM_SEEDS` sets
//! how many are run.

mod check;
mod random;
mod world;

use random::Random;
use world::World;

/// Seeds in a run of the tests.
const SEEDS: u64 = 10_000;

/// Steps of one seed before the quiet time.
const STEPS: u32 = 200;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name} is not a number: {error}")))
}

fn run(seed: u64) -> world::Seen {
    let mut world = World::new(Random::new(seed));
    for _ in 0..STEPS {
        world.step();
    }
    world.come_to_rest();
    world.seen
}

#[test]
fn what_always_holds_holds_under_faults() {
    if let Some(seed) = variable("IGNITE_SIM_SEED") {
        run(seed);
        return;
    }
    let seeds = variable("IGNITE_SIM_SEEDS").unwrap_or(SEEDS);
    let mut seen = world::Seen::default();
    for seed in 0..seeds {
        let one = std::panic::catch_unwind(|| run(seed))
            .unwrap_or_else(|_| panic!("seed {seed} broke an invariant: run it alone with IGNITE_SIM_SEED={seed}"));
        seen.add(&one);
    }
    // A simulation that never gets anywhere proves nothing.
    for (what, count) in seen.counts() {
        assert!(count > seeds / 100, "{what} happened only {count} times");
    }
}

#[test]
fn one_seed_is_one_run() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
}
