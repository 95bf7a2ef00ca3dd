//! Steps that want everything.

use std::fs;
use std::time::{Duration, Instant};

use ignite_compiler_sandbox::{Bound, Mount, StepError};

use crate::support::{gone, lines, mark, python, shell};

const MIB: u64 = 1024 * 1024;

#[test]
fn one_that_forks_for_ever_is_stopped() {
    let mark = mark(1);
    let script = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n";
    let mut bomb = python(script, Vec::new());
    bomb.args.push(mark.clone().into());
    bomb.limits.processes_max = 200;
    let started = Instant::now();
    let (exit, _) = lines(&bomb);
    assert!(matches!(exit, Err(StepError::Exceeded(Bound::Processes(200)))), "{exit:?}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    gone(&mark);
}

#[test]
fn one_that_forks_is_refused_further_processes_by_the_kernel_too() {
    // Faster than anyone could look.
    let script = "import os, time\nmade = 0\ntry:\n    while made < 500:\n        if os.fork() == 0:\n            time.sleep(100)\n        made += 1\nexcept OSError:\n    pass\nprint(made, flush=True)\n";
    let mut step = python(script, Vec::new());
    step.limits.processes_max = 50;
    let (exit, said) = lines(&step);
    let made: Vec<u64> = said.iter().filter_map(|line| line.parse().ok()).collect();
    assert!(made.iter().all(|made| *made <= 52), "{said:?}");
    assert!(matches!(exit, Err(StepError::Exceeded(Bound::Processes(50)))) || !made.is_empty(), "{exit:?} {said:?}");
}

#[test]
fn one_that_fills_memory_is_stopped() {
    let mut step = python("held = []\nwhile True: held.append(bytearray(1 << 20))", Vec::new());
    step.limits.memory_bytes_max = 200 * MIB;
    let (exit, said) = lines(&step);
    // Python's own refusal, when the limit of one process comes first.
    let refused = said.iter().any(|line| line.contains("MemoryError"));
    assert!(refused || matches!(exit, Err(StepError::Exceeded(Bound::Memory(_)))), "{exit:?} {said:?}");
}

#[test]
fn many_that_fill_memory_together_are_stopped() {
    // Each of them keeps to what one may have.
    let script = "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        held = bytearray(os.urandom(1 << 20)) * 60\n        time.sleep(100)\ntime.sleep(100)\n";
    let mut step = python(script, Vec::new());
    step.limits.memory_bytes_max = 200 * MIB;
    let (exit, said) = lines(&step);
    assert!(matches!(exit, Err(StepError::Exceeded(Bound::Memory(_)))), "{exit:?} {said:?}");
}

#[test]
fn files_in_memory_are_bounded() {
    let mut step = shell(
        "head -c 40M /dev/zero > /tmp/large; wc -c < /tmp/large; head -c 100M /dev/zero > /dev/shm/large; \
         wc -c < /dev/shm/large",
        Vec::new(),
    );
    step.limits.tmp_bytes_max = 10 * MIB;
    let (_, said) = lines(&step);
    let sizes: Vec<u64> = said.iter().filter_map(|line| line.trim().parse().ok()).collect();
    assert_eq!(sizes, [10 * MIB, 64 * MIB], "{said:?}");
}

#[test]
fn one_that_fills_the_disk_is_stopped() {
    let write = tempfile::tempdir().unwrap();
    let script = "i=0; while :; do head -c 8M /dev/zero > file$i || exit 1; i=$((i+1)); done";
    let mut step = shell(script, vec![Mount::read_write(write.path())]);
    step.cwd = write.path().into();
    step.limits.disk_bytes_max = 200 * MIB;
    let (exit, said) = lines(&step);
    assert!(matches!(exit, Err(StepError::Exceeded(Bound::Disk(_)))), "{exit:?} {said:?}");
    let written: u64 = fs::read_dir(write.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(written < 4096 * MIB, "{written}");
}

#[test]
fn one_that_makes_files_without_end_is_stopped() {
    let write = tempfile::tempdir().unwrap();
    let script = "import os\ni = 0\nwhile True:\n    os.mkdir(f'd{i}')\n    for j in range(1000): open(f'd{i}/{j}', 'w').close()\n    i += 1\n";
    let mut step = python(script, vec![Mount::read_write(write.path())]);
    step.cwd = write.path().into();
    step.limits.disk_files_max = 20_000;
    let (exit, said) = lines(&step);
    assert!(matches!(exit, Err(StepError::Exceeded(Bound::Files(20_000)))), "{exit:?} {said:?}");
}

#[test]
fn one_file_and_open_files_are_bounded() {
    let write = tempfile::tempdir().unwrap();
    let script = "import os\ntry:\n    with open('large', 'wb') as f: f.truncate(20 << 20)\n    print('made')\nexcept OSError: print('too large')\nheld = []\ntry:\n    while True: held.append(open('/dev/null'))\nexcept OSError: print('too many', len(held) < 100)\n";
    let mut step = python(
        &format!("import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n{script}"),
        vec![Mount::read_write(write.path())],
    );
    step.cwd = write.path().into();
    step.limits.file_bytes_max = 10 * MIB;
    step.limits.open_files_max = 100;
    let (exit, said) = lines(&step);
    assert!(exit.unwrap().success(), "{said:?}");
    assert_eq!(said, ["too large", "too many True"]);
}

#[test]
fn a_gigabyte_of_output_is_cut() {
    let mut step = shell("head -c 1G /dev/zero | tr '\\0' 'y' | fold -w 500", Vec::new());
    step.limits.lines_max = 100;
    let started = Instant::now();
    let mut seen = 0;
    let done = ignite_compiler_sandbox::run(&step, &ignite_compiler_sandbox::Cancel::default(), &mut |_, line| {
        seen += 1;
        assert!(line.len() <= 500);
    });
    let done = done.unwrap();
    assert!(done.exit.success() && done.lines_dropped > 1_000_000, "{done:?}");
    assert_eq!(seen, 100);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[test]
fn one_line_without_end_is_cut() {
    let mut step = shell("head -c 200M /dev/zero | tr '\\0' 'y'", Vec::new());
    step.limits.line_bytes_max = 1000;
    let (exit, said) = lines(&step);
    assert!(exit.unwrap().success());
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].chars().count(), 1001, "cut and marked");
}

#[test]
fn escape_codes_and_signs_that_turn_text_around_are_taken_out() {
    let step = shell(
        "printf '\\033[31mred\\033[0m \\033]0;title\\007x\\b\\r\\nok\\342\\200\\256kcab\\n\\001\\002\\n'",
        Vec::new(),
    );
    let (_, said) = lines(&step);
    assert_eq!(said, ["red x", "okkcab", ""]);
}
