//! Every command but `run`: done in a moment, by a process of its own.

use std::io::Write;
use std::path::{Path, PathBuf};

use rift::{Permissions, PublicKey, Suite};
use rift_keystore::link::HostLink;

use crate::allow::{self, AllowError, AllowList, Client};
use crate::args::{CLIENT_NAME, Command, Rights, RunArgs};
use crate::pairing::PairOrder;
use crate::{ServerError, config, control, gateway, identity, rotation, source, state_dir, status};

/// Carries out a command other than `run`; what it has to say goes to `out`.
///
/// # Errors
/// [`ServerError`].
pub fn carry_out(command: &Command, out: &mut impl Write) -> Result<(), ServerError> {
    match command {
        Command::Run(_) => {}
        Command::Pair { pin, name, rights, while_watched, place } => {
            let order = PairOrder {
                pin: pin.clone(),
                permissions: rights.of(Permissions::default_control()),
                name: name.clone(),
                while_watched: *while_watched,
            };
            ask(state_dir(place)?, &order.to_line(), ServerError::NotPaired, out)?;
        }
        Command::Allow { id, name, rights, place } => {
            let change = |list: &mut AllowList| allow_or_change(list, *id, name.as_deref(), rights);
            let Client { name, permissions, .. } = allow::change(&state_dir(place)?, change)?;
            let words = permissions.words().collect::<Vec<_>>().join(",");
            writeln!(out, "allowed {id} ({name}): {words}")?;
        }
        Command::List { place } => {
            for client in allow::load(&state_dir(place)?)?.clients() {
                let permissions = client.permissions.words().collect::<Vec<_>>().join(",");
                writeln!(out, "{}  {permissions}  {}", client.id, client.name)?;
            }
        }
        Command::Revoke { id, place } => {
            let client = allow::change(&state_dir(place)?, |list| list.remove(id))?;
            writeln!(out, "revoked {id} ({})", client.name)?;
        }
        Command::Status { json, metrics, place } => {
            let question = if *metrics {
                "metrics"
            } else if *json {
                "json"
            } else {
                "line"
            };
            let state = state_dir(place)?;
            let answer =
                status::ask(&state, question).map_err(|source| ServerError::NotRunning { state, source })?;
            write!(out, "{answer}")?;
        }
        Command::Settings(said) => {
            let typed: Vec<_> = std::env::args_os().skip(1).collect();
            config::show(&said.place, &typed, out)?;
        }
        Command::Power { action, place } => {
            config::load(place)?.power.perform(*action)?;
        }
        Command::SwitchInput { index, place } => {
            ask(state_dir(place)?, &control::input_line(*index), ServerError::NotSwitched, out)?;
        }
        Command::Cards => source::list_devices(out)?,
        Command::RotateKey { switch, place } => rotate_key(&state_dir(place)?, *switch, out)?,
        Command::Link { direct, gateway, gateway_id, place } => {
            let said = config::load(place)?;
            let flags = RunArgs { gateway: gateway.clone(), gateway_id: *gateway_id, ..RunArgs::default() };
            let choice = gateway::Choice::of(&if gateway.is_some() { flags } else { said })?;
            let link = HostLink {
                host: identity(&state_dir(place)?)?.public(),
                gateway: choice.map(|choice| choice.name),
                direct: direct.clone(),
            };
            // What was typed is read as a client will.
            let link = link.to_string().parse().map_err(ServerError::Link)?;
            gateway::write_link(&link, out)?;
        }
        Command::Id { place } => writeln!(out, "{}", identity(&state_dir(place)?)?.public())?,
    }
    Ok(())
}

/// Asks the running host for something; `refused` when it does not do it.
fn ask(state: PathBuf, line: &str, refused: ServerError, out: &mut impl Write) -> Result<(), ServerError> {
    match control::ask(&state, line, out)? {
        Some(true) => Ok(()),
        Some(false) => Err(refused),
        None => Err(ServerError::NoHost(state)),
    }
}

/// Makes this host's next key, or puts it in the place of the present one.
fn rotate_key(state: &Path, switch: bool, out: &mut impl Write) -> Result<(), ServerError> {
    if !switch {
        let next = rotation::prepare(state)?;
        writeln!(
            out,
            "{next}\nEvery client that connects from now on is told. Once all have: wavry-server rotate-key --switch"
        )?;
        return Ok(());
    }
    if control::is_running(state) {
        return Err(ServerError::Running(state.to_owned()));
    }
    let id = rotation::switch(state)?;
    writeln!(out, "{id}\nThis host is known by that ID from now on. Clients that were not told pair again")?;
    Ok(())
}

/// Puts a client on the list, or changes what was said of it; saying nothing of one who is there is a mistake.
fn allow_or_change(
    list: &mut AllowList,
    id: PublicKey,
    name: Option<&str>,
    rights: &Rights,
) -> Result<Client, AllowError> {
    let known = list.find(&id).cloned();
    if let Some(Client { id, name: known, .. }) =
        known.clone().filter(|_| rights.is_empty() && name.is_none())
    {
        return Err(AllowError::Duplicate { id, name: known });
    }
    let before = known.as_ref().map_or(Permissions::default_control(), |known| known.permissions);
    let name = name.map(str::to_owned).or(known.map(|known| known.name));
    let name = name.unwrap_or_else(|| CLIENT_NAME.to_owned());
    let client = Client { id, name, permissions: rights.of(before), suite: Suite::Classical };
    list.put(client.clone())?;
    Ok(client)
}
