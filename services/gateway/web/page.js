// Shows what the API tells and asks it to act. The token lives in this page's memory alone: a reload forgets it.
// Texts of devices and relays are strangers' texts: they are only ever set as text, never as markup.
"use strict";

const REFRESH_MS = 5000;
let token = "";
const byId = (id) => document.getElementById(id);

async function ask(method, path) {
  const answer = await fetch("/api/v1/" + path, { method, headers: { Authorization: "Bearer " + token }, credentials: "omit" });
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
}

// The next cell of a line that is being written: the one that is there already, if there is.
function cell(line, text, kind) {
  const cell = line.row.cells[line.at] || line.row.insertCell();
  line.at += 1;
  if (cell.textContent !== text) cell.textContent = text;
  cell.className = kind || "";
}

// The next cell, with buttons. One that is there already stays the element that it is.
function actions(line, wanted) {
  const cell = line.row.cells[line.at] || line.row.insertCell();
  line.at += 1;
  const known = new Map([...cell.children].map((button) => [button.dataset.does, button]));
  const buttons = wanted.map(([label, question, method, path]) => {
    const does = method + " " + path;
    return known.get(does) || action(does, label, question, method, path);
  });
  const isSame = buttons.length === cell.children.length && buttons.every((button, at) => cell.children[at] === button);
  if (!isSame) cell.replaceChildren(...buttons.flatMap((button) => [button, " "]));
}

function action(does, label, question, method, path) {
  const button = document.createElement("button");
  const ask = (isSure) => {
    button.dataset.sure = isSure ? "yes" : "no";
    button.textContent = isSure ? question : label;
    button.className = isSure ? "bad" : "";
  };
  button.type = "button";
  button.dataset.does = does;
  ask(false);
  button.addEventListener("click", async () => {
    // The second click means it.
    if (question && button.dataset.sure !== "yes") return ask(true);
    button.disabled = true;
    await act(method, path);
    button.disabled = false;
    ask(false);
  });
  return button;
}

async function act(method, path) {
  try {
    const value = await ask(method, path);
    byId("told").textContent = value.token ? "Token for one device, for a day: " + value.token
      : value.signs_in_s ? "The next key signs in " + value.signs_in_s + " s." : "";
  } catch (error) {
    byId("told").textContent = error.message;
  }
  await refresh();
}

// A row stays the element that it is while what it is about is there: a refresh takes nothing from under a person's hand, neither
// a button that is being pressed nor a question that waits for its second click.
function fill(id, values, name, write) {
  const body = byId(id);
  const names = new Set(values.map(name));
  const known = new Map([...body.rows].map((row) => [row.dataset.about, row]));
  for (const [about, row] of known) if (!names.has(about)) row.remove();
  values.forEach((value, at) => {
    const about = name(value, at);
    let row = known.get(about);
    if (!row) {
      row = document.createElement("tr");
      row.dataset.about = about;
    }
    if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] || null);
    write({ row, at: 0 }, value);
  });
}

const path = encodeURIComponent;
const time = (seconds) => new Date(seconds * 1000).toISOString().replace("T", " ").slice(0, 19);

function device(row, value) {
  const session = value.session;
  cell(row, value.name);
  cell(row, value.id, "id");
  cell(row, session ? (session.is_host ? "host" : "yes") : "no");
  cell(row, session ? session.seen : "");
  cell(row, session ? session.paths.map((one) => one.way + " → " + one.peer.slice(0, 8)).join(", ") : "");
  const acts = [["Revoke", "Really revoke", "DELETE", "devices/" + path(value.id)]];
  if (!value.is_banned) acts.push(["Ban", "Really ban", "PUT", "bans/" + path(value.id)]);
  actions(row, acts);
}

function relay(row, value) {
  const beat = value.beat;
  cell(row, value.id, "id");
  cell(row, value.address || "");
  cell(row, beat ? beat.region : "");
  const state = value.is_drained ? "drained" : beat && beat.is_draining ? "draining" : value.is_there ? "there" : beat ? "not heard" : "never heard";
  cell(row, state, value.is_usable ? "" : "bad");
  cell(row, beat ? beat.leases + " of " + beat.leases_max : "");
  cell(row, beat ? beat.load_permille / 10 + " %" : "");
  actions(row, [[value.is_drained ? "Use again" : "Drain", null, value.is_drained ? "DELETE" : "PUT", "relays/" + path(value.id) + "/drain"]]);
}

async function refresh() {
  let answers;
  try {
    answers = await Promise.all(["overview", "devices", "relays", "bans", "audit"].map((what) => ask("GET", what)));
  } catch (error) {
    byId("summary").textContent = error.message;
    return false;
  }
  const [overview, devices, relays, bans, audit] = answers;
  byId("summary").textContent = `${overview.present} of ${overview.devices} devices there, ${overview.introductions} introductions` + (overview.is_draining ? ", introducing nobody" : "");
  byId("drain").textContent = overview.is_draining ? "Introduce again" : "Introduce nobody";
  byId("drain").dataset.method = overview.is_draining ? "DELETE" : "PUT";
  fill("devices", devices, (value) => value.id, device);
  fill("relays", relays, (value) => value.id, relay);
  fill("bans", bans, (value) => value.id, (row, value) => {
    cell(row, value.id, "id");
    actions(row, [["Let in again", null, "DELETE", "bans/" + path(value.id)]]);
  });
  fill("audit", audit, (_, at) => String(at), (row, line) => {
    cell(row, time(line.at_s));
    cell(row, line.actor, "id");
    cell(row, line.action);
    cell(row, line.subject, "id");
  });
  return true;
}

async function enter() {
  token = byId("token").value.trim();
  if (!(await refresh())) return;
  byId("token").value = "";
  byId("sign-in").hidden = true;
  byId("all").hidden = false;
  setInterval(refresh, REFRESH_MS);
}

byId("enter").addEventListener("click", enter);
byId("token").addEventListener("keydown", (event) => { if (event.key === "Enter") enter(); });
byId("drain").addEventListener("click", (event) => act(event.target.dataset.method, "drain"));
byId("new-token").addEventListener("click", () => act("POST", "tokens"));
byId("rotate").addEventListener("click", () => act("POST", "lease-keys"));
