//! `hourglass bench`, small: its own comparisons with independent computations hold, and its report
//! is whole. No figure is asserted.

use crate::server::hourglass;

#[test]
fn a_quick_run_agrees_with_every_computation_and_reports_it() {
    let dir = tempfile::tempdir().unwrap();
    let peers = dir.path().join("peers.json");
    let peer = r#"[{"peer": "Slow & Co <1>", "settings": "defaults", "question": "an hour", "value": 12.5, "unit": "ms"}]"#;
    std::fs::write(&peers, peer).unwrap();
    let (scratch, out) = (dir.path().join("scratch"), dir.path().join("out"));
    let mut run = hourglass();
    run.args(["bench", "--quick", "--dir"])
        .arg(&scratch)
        .arg("--out")
        .arg(&out)
        .arg("--peers")
        .arg(&peers);
    let run = run.output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = String::from_utf8(run.stdout).unwrap();
    for bench in ["pruning", "http", "ingest", "distinct", "overload", "lake", "visitors"] {
        assert!(text.contains(&format!("hourglass bench {bench}\n")), "{text}");
        let json = std::fs::read(out.join(format!("{bench}.json"))).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert!(
            report["sections"].as_array().is_some_and(|sections| !sections.is_empty()),
            "{report}"
        );
        let page = std::fs::read_to_string(out.join(format!("{bench}.html"))).unwrap();
        assert!(page.contains("Slow &amp; Co &lt;1&gt;") && page.ends_with("</html>\n"), "{page}");
    }
    let page = std::fs::read_to_string(out.join("pruning.html")).unwrap();
    assert!(
        page.contains("<figure data-plot=\"") && !page.contains("src=") && !page.contains("<link"),
        "a page that needs nothing else"
    );
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0, "the scratch folders are gone");
}

#[test]
fn a_peers_file_that_is_none_is_refused_before_anything_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    let run = hourglass()
        .args(["bench", "distinct", "--quick", "--peers"])
        .arg(dir.path().join("none.json"))
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(66), "{run:?}");
    assert!(String::from_utf8_lossy(&run.stderr).contains("none.json"), "{run:?}");
}
