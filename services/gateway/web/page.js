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

function cell(row, text, kind) {
  const cell = row.insertCell();
  cell.textContent = text;
  if (kind) cell.className = kind;
  return cell;
}

function action(cell, label, question, method, path) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.addEventListener("click", async () => {
    if (question && button.dataset.sure !== "yes") {
      // The second click means it.
      button.dataset.sure = "yes";
      button.textContent = question;
      button.className = "bad";
      return;
    }
    await act(method, path);
  });
  cell.append(button, " ");
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

function fill(id, values, write) {
  const body = byId(id);
  // A question that waits for its second click is not taken away.
  if (body.querySelector("[data-sure]") && document.activeElement && body.contains(document.activeElement)) return;
  body.replaceChildren();
  for (const value of values) write(body.insertRow(), value);
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
  const acts = row.insertCell();
  action(acts, "Revoke", "Really revoke", "DELETE", "devices/" + path(value.id));
  if (!value.is_banned) action(acts, "Ban", "Really ban", "PUT", "bans/" + path(value.id));
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
  action(row.insertCell(), value.is_drained ? "Use again" : "Drain", null, value.is_drained ? "DELETE" : "PUT", "relays/" + path(value.id) + "/drain");
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
  fill("devices", devices, device);
  fill("relays", relays, relay);
  fill("bans", bans, (row, value) => {
    cell(row, value.id, "id");
    action(row.insertCell(), "Let in again", null, "DELETE", "bans/" + path(value.id));
  });
  fill("audit", audit, (row, line) => {
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
