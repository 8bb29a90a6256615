//! The papers beside the code: their links lead somewhere, and what they show is accepted.

use std::path::PathBuf;

use mnas::space::Space;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn papers() -> Vec<PathBuf> {
    let guide = fs_err::read_dir(root().join("docs/src")).unwrap().map(|file| file.unwrap().path());
    let others = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "benches/SEARCH.md", "devices/README.md"];
    guide
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .chain(others.map(|name| root().join(name)))
        .collect()
}

/// The pieces of a text between two marks.
fn between<'t>(text: &'t str, open: &'t str, close: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(open).skip(1).filter_map(move |rest| rest.split_once(close)).map(|(piece, _)| piece)
}

#[test]
fn every_relative_link_leads_to_a_file() {
    for paper in papers() {
        let text = fs_err::read_to_string(&paper).unwrap();
        for link in between(&text, "](", ")").filter(|link| !link.starts_with("http")) {
            let file = link.split('#').next().unwrap();
            let target = paper.parent().unwrap().join(file);
            assert!(file.is_empty() || target.exists(), "{}: {link}", paper.display());
        }
    }
}

#[test]
fn every_file_that_is_named_in_a_paper_about_the_code_exists() {
    let rooms = ["src/search", "src/latency", "src", "."];
    for paper in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs_err::read_to_string(root().join(paper)).unwrap();
        let is_file = |name: &&str| name.ends_with(".rs") && name.contains('/') && !name.contains(['{', ' ', '…']);
        let named = between(&text, "`", "`").filter(is_file).filter(|name| !name.contains("NAME"));
        for name in named {
            let exists = rooms.iter().any(|room| root().join(room).join(name).exists());
            assert!(exists, "{paper}: {name}");
        }
    }
}

#[test]
fn no_more_than_two_files_or_rooms_import_each_other() {
    let script = std::process::Command::new("python3").arg(root().join("scripts/imports.py")).output().unwrap();
    let shown = String::from_utf8_lossy(&script.stdout);
    assert!(script.status.success(), "{shown}{}", String::from_utf8_lossy(&script.stderr));
    for folder in ["src", "src/search", "src/latency", "src/device"] {
        assert!(
            shown.lines().any(|line| line.starts_with(&format!("{folder}: "))),
            "{folder} is not looked at: {shown}"
        );
    }
}

#[test]
fn every_chapter_is_in_the_summary() {
    let summary = fs_err::read_to_string(root().join("docs/src/SUMMARY.md")).unwrap();
    for paper in papers().into_iter().filter(|paper| paper.parent() == Some(&root().join("docs/src"))) {
        let name = paper.file_name().unwrap().to_str().unwrap();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "{name}");
    }
}

#[test]
fn the_space_file_of_the_guide_is_accepted() {
    let text = fs_err::read_to_string(root().join("docs/src/space-file.md")).unwrap();
    let file = between(&text, "```toml\n", "```").next().unwrap();
    Space::from_toml(file, "docs/src/space-file.md").unwrap();
}

/// A build without torch knows no `kind = "proxy"`.
#[test]
#[cfg(feature = "torch")]
fn the_search_files_of_the_papers_are_accepted() {
    use mnas::search::SearchFile;

    for paper in ["README.md", "docs/src/search-file.md"] {
        let text = fs_err::read_to_string(root().join(paper)).unwrap();
        let file = between(&text, "```toml\n", "```").find(|block| block.contains("[budget]")).unwrap();
        SearchFile::parse(file, paper).unwrap().check(std::path::Path::new("."), paper).unwrap();
    }
}
