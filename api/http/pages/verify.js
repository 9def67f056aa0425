// Checks a token in the browser: nothing but the request for the public keys leaves it.
const place = (id) => document.getElementById(id);
const KEYS = '.well-known/multimail-signing-key';
let payload;

function fromBase64url(text) {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
}

async function sha256(text) {
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The payload of a token that holds; throws the reason why it does not, for people. */
async function read(token) {
  if (!/^[\w-]+\.[\w-]+$/.test(token)) throw new Error('This is not a token: part of it may be missing.');
  const [written, signed] = token.split('.');
  let said;
  try {
    said = JSON.parse(new TextDecoder().decode(fromBase64url(written)));
  } catch {
    throw new Error('This is not a token: part of it may be missing.');
  }
  if (globalThis.crypto?.subtle === undefined)
    throw new Error('This browser checks nothing on a page without https.');
  const answer = await fetch(KEYS).catch(() => undefined);
  if (answer === undefined || !answer.ok)
    throw new Error('The public keys cannot be had just now. Try again later.');
  const { keys } = await answer.json();
  const jwk = keys.find(({ kid }) => kid === said?.kid);
  if (jwk === undefined) throw new Error('NOT VERIFIED: it was not signed by this gateway.');
  const { kty, crv, x, y } = jwk;
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  const key = await crypto.subtle.importKey('jwk', { kty, crv, x, y }, algorithm, false, ['verify']);
  const how = { name: 'ECDSA', hash: 'SHA-256' };
  const holds = await crypto.subtle.verify(how, key, fromBase64url(signed), fromBase64url(written));
  if (!holds) throw new Error('NOT VERIFIED: it was changed after it was signed.');
  if (said.v !== 1 || typeof said.ai_generated !== 'boolean' || typeof said.mid !== 'string')
    throw new Error('NOT VERIFIED: it is no identity of a message.');
  if (jwk.not_after !== undefined && said.iat * 1000 > Date.parse(jwk.not_after))
    throw new Error('NOT VERIFIED: it was signed after its key was retired.');
  return said;
}

const MODES = {
  autonomous: 'sends without review by a person',
  monitored: 'a person gets a copy of what is sent',
  gated_send: 'a person approves what is sent, or has allowed the recipients',
  gated_all: 'a person approves all that is sent',
  read_only: 'may not send',
};

function date(value) {
  const when = new Date(value);
  return Number.isNaN(when.getTime())
    ? String(value)
    : when.toLocaleString(undefined, { timeZoneName: 'short' });
}

function approvalOf({ approval }) {
  if (approval === undefined) return 'not known when the link was made';
  if (approval === null) return 'none was needed';
  return `${approval.by === 'person' ? 'by a person' : 'by the allowlist'}, ${date(approval.at)}`;
}

function membersOf(said) {
  const who = said.composer === null ? '' : ` (${said.composer})`;
  return [
    ['Written by', said.ai_generated ? `an AI agent${who}` : 'a person, or Postern itself'],
    ['Operator', said.operator_name],
    ['Sender domain', said.verified_operator ? 'proved to be the operator’s' : 'not proved'],
    ['Oversight', `${said.oversight_mode}: ${MODES[said.oversight_mode] ?? 'unknown'}`],
    ['Approval', approvalOf(said)],
    ['Signed', date(said.iat * 1000)],
    ['Mailbox since', date(said.created_at)],
    ['Gateway', said.service],
    ['Message-ID', said.mid],
  ];
}

function element(name, text, className = '') {
  const made = document.createElement(name);
  made.textContent = text;
  if (className !== '') made.className = className;
  return made;
}

function show(state, text) {
  place('verdict').textContent = text;
  place('verdict').dataset.state = state;
  place('said').hidden = payload === undefined;
  place('compare').hidden = payload === undefined;
  place('other').open = payload === undefined;
}

async function check(text) {
  const token = text.replace(/^\s*X-MultiMail-Identity:/i, '').replace(/\s+/g, '');
  payload = undefined;
  place('members').replaceChildren();
  place('compared').replaceChildren();
  show('waiting', 'Checking …');
  try {
    payload = await read(token.includes('#') ? token.slice(token.indexOf('#') + 1) : token);
  } catch (err) {
    return show('invalid', err.message);
  }
  place('members').replaceChildren(
    ...membersOf(payload).flatMap(([name, value]) => [element('dt', name), element('dd', String(value))]),
  );
  const author = payload.ai_generated ? 'an AI agent wrote the message' : 'no AI agent wrote the message';
  show('valid', `VERIFIED: ${location.host} signed that ${author}.`);
}

async function compare() {
  const given = (id) => place(id).value.trim();
  const addresses = given('recipients')
    .split(',')
    .map((address) => address.trim().toLowerCase())
    .filter((address) => address !== '')
    .sort();
  const subject = given('subject').normalize('NFC');
  const pairs = [
    ['Subject', subject, (await sha256(subject)) === payload.subject_hash],
    ['Recipients', addresses.join(''), (await sha256(addresses.join('\n'))) === payload.to_hash],
    ['Message-ID', given('message-id'), given('message-id').replace(/^<|>$/g, '') === payload.mid],
  ];
  place('compared').replaceChildren(
    ...pairs
      .filter(([, value]) => value !== '')
      .map(([name, , same]) =>
        element(
          'li',
          `${name}: ${same ? 'the same' : 'DIFFERENT from what was signed'}`,
          same ? '' : 'differs',
        ),
      ),
  );
}

place('paste').addEventListener('submit', (event) => {
  event.preventDefault();
  check(place('token').value);
});
place('message').addEventListener('submit', (event) => {
  event.preventDefault();
  compare();
});
const begin = () => {
  if (location.hash.length > 1) check(location.hash.slice(1));
  else show('waiting', 'This link holds no token. Paste one below.');
};
addEventListener('hashchange', begin);
begin();
