//! Archives that common tools wrote; they are the seeds of the fuzz target too.

use std::fs;
use std::path::Path;

use ignite_core_source::ArchiveLimits;

use crate::make::take;

#[test]
fn what_common_tools_wrote_is_taken() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/source_read");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (read, got) = take(&fs::read(&path).unwrap(), &ArchiveLimits::default())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(read.files > 0 && read.left_out == 0, "{}", path.display());
        let program = got.0.get("run.sh").is_none_or(|(_, executable)| *executable);
        assert!(program, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} archives");
}
