#[tokio::test(flavor = "multi_thread")]
async fn play() {
    let stack = tests::stack::Stack::start("play");
    std::fs::write("/tmp/verbs/play", format!("{}\n{}\n", stack.data().display(), &**stack.namespace())).unwrap();
    loop {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        if std::path::Path::new("/tmp/verbs/stop").exists() { break; }
    }
}
