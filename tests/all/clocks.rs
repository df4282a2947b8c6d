//! Wall clocks of nodes jump. What was granted gets no longer by that, and what is under way does not break.

use std::time::Duration;

use control_plane::store::Start;
use shared::time::Timestamp;
use shared_net::clock::{Clock, ManualClock};
use shared_net::tasks::{CancelOnDrop, TaskSet};
use tests::kubectl::Version;
use tests::stack::Stack;

use crate::stories::creations;

/// The sidecar keeps real time, control plane and agent are in this process and have clocks that are set by hand; no time passes on them.
#[tokio::test(flavor = "multi_thread")]
async fn wall_clocks_that_jump_break_nothing() {
    let half_an_hour = Duration::from_secs(1800);
    let mut stack = Stack::start("clocks");
    stack.kill_agent();
    stack.stop_control_plane();
    let now = Clock::system().now();
    let (one, two) = (ManualClock::new(now), ManualClock::new(now));
    let tasks = TaskSet::new();
    let _end = CancelOnDrop(tasks.clone());
    let config = control_plane::config::Config::load(&stack.control_plane_config()).unwrap();
    let control_plane = control_plane::app::build(config, Start::Ordinary, one.clock()).await.unwrap();
    tasks.spawn("control plane", async move { control_plane.run(std::future::pending()).await.unwrap() });
    let config = agent::config::load(Some(stack.agent_config("agent"))).unwrap();
    let agent = agent::app::build(config, two.clock()).await.unwrap();
    tasks.spawn("agent", async move { agent.run(std::future::pending()).await.unwrap() });

    let kubectl = stack.kubectl(Version::Newest);
    let (ahead, back) = (now.after(half_an_hour), Timestamp(now.0 - 1_800_000));
    let jumps = [(now, now), (ahead, now), (now, back), (back, ahead), (ahead, back), (back, back), (now, now)];
    for (number, (control_plane, agent)) in jumps.into_iter().enumerate() {
        one.jump(control_plane);
        two.jump(agent);
        kubectl.run(&["create", "configmap", &format!("after-{number}")]).await.ok();
        assert!(kubectl.run(&["get", "configmaps", "-o", "name"]).await.ok().contains(&format!("after-{number}")));
    }
    assert_eq!(creations(&stack, "configmaps").len(), jumps.len());

    // What has run out by the wall clock of who judges it is over, and counts again when the clock is right again: fail closed.
    one.jump(now.after(Duration::from_secs(2 * 3600)));
    let refused = kubectl.run(&["get", "configmaps"]).await.refused();
    assert!(refused.contains("token expired"), "{refused}");
    one.jump(now);
    kubectl.run(&["get", "configmaps"]).await.ok();
}
