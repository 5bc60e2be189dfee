//! What can go wrong, in words that say what to do about it.

use std::io;
use std::path::PathBuf;

use rift::{CloseReason, PublicKey};

/// Why the client ended without having done what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// What was typed cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// What configuration files and the environment say is wrong.
    #[error(transparent)]
    Config(#[from] rift_settings::SettingsError),
    /// Hosts cannot be looked for on the local network.
    #[error("cannot look for hosts by {0}")]
    Discovery(#[from] rift_mdns::MdnsError),
    /// The identity could not be read or made.
    #[error(transparent)]
    Keystore(#[from] rift_keystore::KeystoreError),
    /// The list of hosts paired with.
    #[error(transparent)]
    Pins(#[from] crate::pins::PinsError),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Entropy(getrandom::Error),
    /// The host's name has no address.
    #[error("cannot find the address of {host}: {source}; check the name, or give the address itself")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The host is not on the local network, or says nothing there.
    #[error(
        "no host of ID {0} announces itself on this network (`wavry-client list` shows who does); \
         give its address: wavry-client connect HOST --host-id {0}"
    )]
    NotAnnounced(PublicKey),
    /// Nothing says who the host is.
    #[error(
        "this client does not know {0}: pair with it (wavry-client pair {0}), or give its ID with --host-id"
    )]
    UnknownHost(String),
    /// Nobody answered who pairs.
    #[error(
        "no answer from {host}, port {port}. A host is silent to whom it does not know unless it pairs just now, so \
         check:\n  - `wavry-server pair` runs there and shows a PIN;\n  \
         - no firewall on the way holds UDP port {port}"
    )]
    NotPairing {
        /// The host as it was typed.
        host: String,
        /// Its port.
        port: u16,
    },
    /// Nobody answered.
    #[error(
        "no answer from {host}, port {port} ({tried}). A host is silent to those who do not know its ID, so check:\n  \
         - wavry-server runs there and listens on UDP port {port};\n  \
         - --host-id is the ID it printed ({id} was given);\n  \
         - no firewall on the way holds UDP port {port}"
    )]
    Unanswered {
        /// The host as it was typed.
        host: String,
        /// Its port.
        port: u16,
        /// The addresses tried.
        tried: String,
        /// The ID it should have.
        id: PublicKey,
    },
    /// The gateway is of no use.
    #[error("the gateway {address} {what} (this client is {id})")]
    Gateway {
        /// Its address.
        address: String,
        /// What it does.
        what: String,
        /// This client's Wavry ID.
        id: PublicKey,
    },
    /// The link says another key of a gateway than is known.
    #[error(
        "the link says that the gateway {address} is {said}, and this client knows it as {known}. If its key was changed \
         on purpose, take its entry out of {path} and connect again; else somebody wants to take its place"
    )]
    OtherGateway {
        /// Its address.
        address: String,
        /// Who the link says it is.
        said: PublicKey,
        /// Who it was.
        known: PublicKey,
        /// The file that says so.
        path: &'static str,
    },
    /// The gateway knows no such host, or not for this client.
    #[error(
        "the gateway {address} knows no host of ID {host} for this client, so check:\n  \
         - wavry-server runs there with --gateway, and `wavry-server status` says that the gateway is there;\n  \
         - it lets this client in: wavry-server allow {id};\n  \
         - its key was not changed since the link was made (`wavry-server link` prints the present one)"
    )]
    NotIntroduced {
        /// The gateway's address.
        address: String,
        /// Who was looked for.
        host: PublicKey,
        /// This client's Wavry ID.
        id: PublicKey,
    },
    /// The gateway led to somebody else.
    #[error(
        "whoever answers where the gateway {address} led this client does not prove to be the host {host}: he has not its \
         key, and was told nothing. If that key was changed on purpose, get a new link from the host (`wavry-server link`) or \
         pair with it again; else somebody wants to take its place, and the gateway may be in his hands"
    )]
    OtherHost {
        /// The gateway's address.
        address: String,
        /// Who was to be reached.
        host: PublicKey,
    },
    /// Neither the host nor a relay passed anything on.
    #[error(
        "the gateway {address} introduced this client, but nothing that it sent reached the host {host}: there is no \
         direct path, and the gateway has no relay that works (`wavry-gateway --relay`)"
    )]
    NoPath {
        /// The gateway's address.
        address: String,
        /// Who was to be reached.
        host: PublicKey,
    },
    /// The host does not let this client in, or no longer.
    #[error("{host} {what}. If it is yours, let this client in by running there:\n  wavry-server allow {id}")]
    Refused {
        /// The host as it was typed.
        host: String,
        /// What it did.
        what: String,
        /// This client's Wavry ID.
        id: PublicKey,
    },
    /// The host lets this client in, and not switch the machine behind its capture card.
    #[error(
        "{host} does not let this client switch the power, or another client steers it just now. If it is yours, run \
         there:\n  wavry-server allow {id} --permit power"
    )]
    NoPower {
        /// The host as it was typed.
        host: String,
        /// This client's Wavry ID.
        id: PublicKey,
    },
    /// A file was not sent.
    #[error("{name:?} was not sent to {host}: {what}")]
    NotSent {
        /// The host as it was typed.
        host: String,
        /// The file.
        name: String,
        /// Why, and what to do.
        what: String,
    },
    /// A file cannot be offered.
    #[error("{0}")]
    File(#[from] rift_files::OutgoingError),
    /// The host ended the session for another reason.
    #[error("{host} {what}")]
    Ended {
        /// The host as it was typed.
        host: String,
        /// Why.
        what: String,
    },
    /// The network failed this machine.
    #[error("cannot reach {host} over UDP: {source}")]
    Network {
        /// The host as it was typed.
        host: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A window could not be opened or failed.
    #[error("{0}")]
    Display(#[from] crate::display::DisplayError),
    /// Pictures cannot be decoded here at all.
    #[error("{0}")]
    Decoder(#[from] rift_ffmpeg::FfmpegError),
    /// Sound cannot be decoded here at all.
    #[error("cannot play sound: {0}; --no-audio does without")]
    Sound(String),
    /// A thread, descriptor or signal handler could not be made.
    #[error("cannot {0}: {1}")]
    System(&'static str, io::Error),
    /// A file that was asked for could not be written.
    #[error("cannot write {0}: {1}")]
    Write(PathBuf, String),
    /// The session ended before there was a picture to keep.
    #[error("no picture came in this session, so there is none to write to {0}")]
    NoPicture(PathBuf),
    /// The network's thread has died.
    #[error("the network's thread ended unexpectedly")]
    NetworkGone,
}

impl ClientError {
    /// The program's exit code: 2 when the command line is wrong, else 1.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) | Self::UnknownHost(_) => 2,
            Self::Keystore(_)
            | Self::Pins(_)
            | Self::NotAnnounced(_)
            | Self::NotPairing { .. }
            | Self::Discovery(_)
            | Self::Entropy(_)
            | Self::Resolve { .. }
            | Self::Unanswered { .. }
            | Self::Refused { .. }
            | Self::Gateway { .. }
            | Self::OtherGateway { .. }
            | Self::NotIntroduced { .. }
            | Self::OtherHost { .. }
            | Self::NoPath { .. }
            | Self::NoPower { .. }
            | Self::NotSent { .. }
            | Self::File(_)
            | Self::Ended { .. }
            | Self::Network { .. }
            | Self::Sound(_)
            | Self::Display(_)
            | Self::Decoder(_)
            | Self::System(..)
            | Self::Write(..)
            | Self::NoPicture(_)
            | Self::NetworkGone => 1,
        }
    }
}

/// Why a session with a host ended, as words that follow the host's name.
#[must_use]
pub fn describe(reason: CloseReason) -> String {
    match reason {
        CloseReason::Local => "was left".to_owned(),
        CloseReason::Done => "ended the session".to_owned(),
        CloseReason::Refused => "does not let this client in".to_owned(),
        CloseReason::Revoked => "has revoked this client's access".to_owned(),
        CloseReason::Busy => "has no room for another session; try again later".to_owned(),
        CloseReason::SourceGone => "has nothing to show any more".to_owned(),
        CloseReason::WrongPin => "was shown another PIN".to_owned(),
        CloseReason::PairingOver => "does not pair any more; begin again there".to_owned(),
        CloseReason::Other(code) => {
            format!("ended the session for a reason this version does not know (code {code})")
        }
        CloseReason::Unanswered => "does not answer".to_owned(),
        CloseReason::Version => {
            "seems to speak other versions of the protocol; update the older side".to_owned()
        }
        CloseReason::WrongPeer => {
            "has another identity than --host-id says; if its key was changed on purpose, give its new ID"
                .to_owned()
        }
        CloseReason::Idle => "fell silent".to_owned(),
        CloseReason::Reset => "was restarted".to_owned(),
        CloseReason::Exhausted => "ended the session: all packet numbers are used up".to_owned(),
        _ => "ended the session".to_owned(),
    }
}
