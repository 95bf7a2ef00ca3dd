//! Links between the repository's documents.

use anyhow::Result;

use super::House;

/// Every relative link in a Markdown file names a file or folder that exists.
pub(super) fn check(house: &House) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for file in house.files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "md")) {
        let text = std::fs::read_to_string(house.workspace.root.join(file))?;
        let folder = house.workspace.root.join(file).parent().map(std::path::Path::to_path_buf).unwrap_or_default();
        let broken = targets(&text).into_iter().filter(|target| !folder.join(target).exists());
        findings.extend(broken.map(|target| format!("{}: {target}", file.display())));
    }
    Ok(findings)
}

/// Targets of `[text](target)`, without fragments; not those on other hosts, in code, or within the file itself.
fn targets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        for after in line.split("](").skip(1) {
            let target = after.split(')').next().unwrap_or_default();
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !target.contains("://") && !target.starts_with("mailto:") && !target.contains(' ') {
                found.push(path.to_string());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_relative_links_are_followed() {
        let text = "[a](b.md#c) [d](#e) [f](https://g.test/h)\n```\n[i](j)\n```\n[k](l/) [m](n)";
        assert_eq!(super::targets(text), ["b.md", "l/", "n"]);
    }
}
