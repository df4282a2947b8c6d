//! The same over TCP: every test of exchanges, on connections that TCP carries; and what only those have.

use tokio::net::{TcpListener, TcpStream};

use super::*;

macro_rules! over_tcp {
    ($($path:path => $name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                WAY.set(Way::Tcp);
                let _back = Back;
                $path();
            }
        )*
    };
}

/// The next test of this thread may be another's.
struct Back;

impl Drop for Back {
    fn drop(&mut self) {
        WAY.set(Way::Udp);
    }
}

over_tcp! {
    super::bodies_pass_both_ways => bodies_pass_both_ways,
    super::pieces_arrive_as_they_are_sent => pieces_arrive_as_they_are_sent,
    super::a_source_that_dies_is_never_a_clean_end => a_source_that_dies_is_never_a_clean_end,
    super::leaving_before_the_head_frees_the_handler => leaving_before_the_head_frees_the_handler,
    super::a_request_without_a_body_ends_with_its_head_and_its_client_is_still_there => a_request_without_a_body_ends_with_its_head_and_its_client_is_still_there,
    super::leaving_in_mid_body_frees_the_source => leaving_in_mid_body_frees_the_source,
    super::an_answer_before_the_end_of_the_request_body_arrives => an_answer_before_the_end_of_the_request_body_arrives,
    super::a_lost_connection_tells_what_may_have_been_sent => a_lost_connection_tells_what_may_have_been_sent,
    super::more_streams_are_allowed_when_a_peer_is_busy => more_streams_are_allowed_when_a_peer_is_busy,
    super::a_panicking_handler_costs_its_own_stream_only => a_panicking_handler_costs_its_own_stream_only,
    super::draining_finishes_what_runs_and_takes_nothing_new => draining_finishes_what_runs_and_takes_nothing_new,
    super::a_draining_peer_gives_back_what_it_does_not_take => a_draining_peer_gives_back_what_it_does_not_take,
    super::an_idle_peer_that_drains_gives_back_too => an_idle_peer_that_drains_gives_back_too,
    super::a_drain_ends_when_the_answers_have_arrived => a_drain_ends_when_the_answers_have_arrived,
    super::dropping_an_unfinished_stream_is_a_reset => dropping_an_unfinished_stream_is_a_reset,
    super::both_ends_export_the_same_and_connections_differ => both_ends_export_the_same_and_connections_differ,
    super::oversized_heads_are_refused => oversized_heads_are_refused,
    upgrades::an_upgraded_stream_tells_end_from_abort => an_upgraded_stream_tells_end_from_abort,
    upgrades::the_refusal_of_an_upgrade_arrives_whole => the_refusal_of_an_upgrade_arrives_whole,
}

/// A server behind a TCP connection that can be cut: what its peer sees when the process is killed.
#[tokio::test]
async fn the_end_of_tcp_is_the_end_of_the_connection_at_once() {
    let now = Clock::system().now();
    let ca = Ca::generate("test", now).unwrap();
    let identity = ca.issue_server(&[shared::wire::SERVER_NAME], &[], now, DAY).unwrap();
    let listening = Endpoint::server(LOCAL, quic::server_config(&identity).unwrap()).unwrap();
    let (tasks, (_trigger, drain), (taken, mut served)) = (TaskSet::new(), drain::channel(), mpsc::channel(1));
    let (accepting, address) = (listening.clone(), listening.local_addr().unwrap());
    let family = tasks.child();
    tasks.spawn("accept", async move {
        let serve = move |connection| {
            let taken = taken.clone();
            async move { taken.send(connection).await.unwrap() }
        };
        accepting.accept(1, &family, drain, serve).await;
    });
    let between = TcpListener::bind(LOCAL).await.unwrap();
    let dialling = Endpoint::client(LOCAL).unwrap();
    // One permit: each connection that was cut has given it back, or the next would be refused.
    for _ in 0..5 {
        let cut = TaskSet::new();
        let me = Identity::self_signed(now, DAY).unwrap();
        let config = quic::client_config(&me, ca.pin()).unwrap();
        let dialled = tcp::connect(between.local_addr().unwrap(), config, &dialling.sockets, PATIENCE);
        let passing = async {
            let (mut client, _) = between.accept().await.unwrap();
            let mut server = TcpStream::connect(address).await.unwrap();
            cut.spawn("between", async move {
                drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
            });
        };
        let (client, ()) = tokio::join!(dialled, passing);
        let (client, server) = (client.unwrap(), served.recv().await.unwrap());
        cut.cancel();
        for connection in [client, server] {
            let why = soon(connection.closed()).await;
            assert!(matches!(why, quinn::ConnectionError::TransportError(_)), "not by a timeout: {why}");
            assert_eq!(connection.peer_close_code(), None);
            assert!(soon(send(&connection, request("/", empty()))).await.unwrap_err().certainly_not_sent());
        }
        soon(listening.sockets.gone()).await;
        soon(dialling.sockets.gone()).await;
    }
    soon(listening.close(0, "")).await;
    soon(dialling.close(0, "")).await;
}
