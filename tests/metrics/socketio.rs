//! Socket.IO's clients, as far as a metric needs them.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::scrape::Instance;
use crate::served::PATIENCE;

/// A Socket.IO client in the words of its wire.
pub struct Socketio(WebSocketStream<TcpStream>);

impl Socketio {
    pub async fn connect(instance: &Instance) -> Self {
        let port = &instance.served.port;
        let tcp = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
        let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket");
        let mut client = Self(client_async(url, tcp).await.unwrap().0);
        client.say("40").await;
        client.hear("40").await;
        client
    }

    pub async fn say(&mut self, packet: &str) {
        self.0.send(Message::text(packet)).await.unwrap();
    }

    pub async fn hear(&mut self, beginning: &str) {
        let heard = async {
            loop {
                if let Message::Text(text) = self.0.next().await.unwrap().unwrap()
                    && text.starts_with(beginning)
                {
                    return;
                }
            }
        };
        timeout(PATIENCE, heard).await.expect(beginning);
    }
}
