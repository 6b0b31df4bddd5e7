//! Files that queries name: what is fetched, from where, and how much of it.

use provost_connectors::{ExternalFiles, ExternalHost};

use crate::fixtures::http;
use crate::server::{Answer, Server};

/// Files from the server, and nowhere else.
fn files(server: &Server) -> ExternalFiles {
    let place = server.url().authority().to_owned();
    let host = ExternalHost::try_from(place).expect("a host");
    ExternalFiles::new(&http(server), vec![host]).expect("a client")
}

#[tokio::test]
async fn a_file_is_fetched_with_nothing_but_its_address() {
    let server = Server::start(|_, _| Answer::status(200).body("a,1\n")).await;
    let address = server.url().join("lists/a.csv?sig=key").expect("a URL");
    let bytes = files(&server).fetch(address.as_str(), 100).await.expect("the file");
    assert_eq!(bytes.as_ref(), b"a,1\n");
    let asked = server.asked();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("GET", "/lists/a.csv"));
    assert_eq!(asked[0].query["sig"], "key");
    assert_eq!(asked[0].header("authorization"), "");
}

#[tokio::test]
async fn a_redirect_is_followed_to_allowed_hosts_only() {
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/short" => Answer::status(301).header("location", "/long"),
        "/long" => Answer::status(200).body("x"),
        "/away" => Answer::status(302).header("location", "https://elsewhere.example/x?sig=key"),
        "/plain" => Answer::status(302).header("location", "http://127.0.0.1/x"),
        _ => Answer::status(302).header("location", "/again"),
    })
    .await;
    let (files, url) = (files(&server), server.url());
    let fetched = async |path: &str| files.fetch(url.join(path).expect("a URL").as_str(), 100).await;
    assert_eq!(fetched("/short").await.expect("the file").as_ref(), b"x");
    for (path, why) in [
        ("/away", "it leads elsewhere: the host elsewhere.example is not one that queries may read from"),
        ("/plain", "it leads elsewhere: files are read over https only, not over http"),
        ("/again", "it leads on more than 5 times"),
    ] {
        assert_eq!(fetched(path).await.expect_err(path), why);
    }
}

#[tokio::test]
async fn what_is_too_large_or_not_there_is_an_error_without_the_key() {
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/none" => Answer::status(404).body("no such file"),
        _ => Answer::status(200).body(&"x".repeat(2000)),
    })
    .await;
    let files = files(&server);
    for (path, why) in [("none?sig=secret", "404 no such file"), ("large?sig=secret", "is larger than")] {
        let address = server.url().join(path).expect("a URL");
        let error = files.fetch(address.as_str(), 1000).await.expect_err(path);
        assert!(error.contains(why) && !error.contains("secret"), "{error}");
    }
}
