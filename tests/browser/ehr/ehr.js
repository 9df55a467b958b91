// Opens a chart: reads the services, sends a patient-view call with its prefetch, shows the cards, reports what became of them.

import { made, rendered } from "/gfm.js";
import { signer } from "/token.js";

const settings = await (await fetch("/settings.json")).json();
const token = signer(settings);
const DISCOVERY = `${settings.service}/cds-services`;

async function asked(address, body) {
  const headers = { Authorization: `Bearer ${await token(address)}` };
  if (body) headers["Content-Type"] = "application/json";
  const line = document.getElementById("calls").appendChild(made("li", [`${body ? "POST" : "GET"} ${address}`]));
  const call = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) };
  const answer = await fetch(address, call).catch(() => {
    throw new Error("the service does not answer this page");
  });
  const record = answer.headers.get("X-CRS-Risk-Record");
  line.append(` ${answer.status}${record ? `, record ${record.slice(0, 12)}` : ""}`);
  if (!answer.ok) throw new Error(`the service answered ${answer.status}, ${await outcome(answer)}`);
  return answer.json();
}

async function outcome(answer) {
  const { issue } = await answer.json();
  return issue[0].details?.text ?? issue[0].diagnostics;
}

async function charted(template) {
  const [place, query] = template.replaceAll("{{context.patientId}}", settings.patient).split("?");
  const headers = { Authorization: `Bearer ${settings.fhir_token}` };
  if (!query) return (await fetch(`${settings.fhir}/${place}`, { headers })).json();
  const search = { method: "POST", headers, body: new URLSearchParams(query) };
  return (await fetch(`${settings.fhir}/${place}/_search`, search)).json();
}

async function prefetched(templates) {
  const found = await Promise.all(Object.entries(templates).map(async ([key, one]) => [key, await charted(one)]));
  return Object.fromEntries(found);
}

async function open() {
  const { services } = await asked(DISCOVERY);
  const service = services.find((one) => one.hook === "patient-view");
  const prefetch = await prefetched(service.prefetch);
  const { gender, birthDate } = prefetch.patient;
  document.getElementById("patient").textContent = `Patient ${settings.patient}, ${gender}, born ${birthDate}`;
  const context = { userId: settings.user, patientId: settings.patient };
  const call = { hook: service.hook, hookInstance: crypto.randomUUID(), fhirServer: settings.fhir, context, prefetch };
  const address = `${DISCOVERY}/${service.id}`;
  const { cards } = await asked(address, call);
  document.getElementById("answer").textContent = JSON.stringify({ cards }, null, 1);
  document.getElementById("cards").replaceChildren(...cards.map((card) => shown(card, address)));
  told(cards.length ? `${cards.length} card for this patient.` : "No card for this patient.");
}

function shown(card, address) {
  const article = document.getElementById("card").content.cloneNode(true).firstElementChild;
  const part = (name) => article.querySelector(`[data-part="${name}"]`);
  article.classList.add(card.indicator);
  for (const name of ["indicator", "summary"]) part(name).textContent = card[name];
  part("detail").append(...rendered(card.detail));
  Object.assign(part("source"), { textContent: card.source.label, href: card.source.url });
  part("links").append(...(card.links ?? []).map((link) => made("li", [linked(link)])));
  part("suggestions").append(...(card.suggestions ?? []).map((one) => suggested(one, article, card, address)));
  const form = article.querySelector("form");
  form.reason.append(...(card.overrideReasons ?? []).map((one) => new Option(one.display, one.code)));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    report(article, address, { card: card.uuid, outcome: "overridden", ...overridden(form, card) });
  });
  return article;
}

function linked({ label, url }) {
  return Object.assign(made("a", [label]), { href: url, target: "_blank", rel: "noopener noreferrer" });
}

function suggested(one, article, card, address) {
  const button = Object.assign(made("button", [one.label]), { type: "button" });
  button.addEventListener("click", () => {
    report(article, address, { card: card.uuid, outcome: "accepted", acceptedSuggestions: [{ id: one.uuid }] });
  });
  return button;
}

function overridden(form, card) {
  const reason = card.overrideReasons?.find((one) => one.code === form.reason.value);
  const userComment = form.comment.value;
  const said = { ...(reason && { reason: { code: reason.code, system: reason.system } }), ...(userComment && { userComment }) };
  return Object.keys(said).length ? { overrideReason: said } : {};
}

async function report(article, address, item) {
  const say = article.querySelector('[data-part="told"]');
  try {
    const stated = { ...item, outcomeTimestamp: new Date().toISOString() };
    const { feedback } = await asked(`${address}/feedback`, { feedback: [stated] });
    article.classList.add("done");
    for (const one of article.querySelectorAll("button, select, input")) one.disabled = true;
    say.textContent = `Feedback ${item.outcome}: ${feedback[0].status}.`;
  } catch (error) {
    say.textContent = `The feedback was not taken: ${error.message}.`;
  }
}

function told(text) {
  document.getElementById("status").textContent = text;
}

try {
  told("Asking the service.");
  await open();
} catch (error) {
  told(`No decision support: ${error.message}.`);
}
