import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readFacts } from '../../core/mail/facts.ts';
import { after } from '../../core/mail/lifecycle.ts';
import { isGated, isMode, MODES, strictest } from '../../core/mail/mode.ts';
import type { Case } from '../../core/store/judging.ts';
import { decide } from '../../policy/decide.ts';
import { reasonsToHold } from '../../policy/reasons.ts';
import { rulingOf } from '../../policy/ruling.ts';

const NOW = new Date('2030-01-01T12:00:00Z');
const LATER = new Date('2030-01-02T12:00:00Z');

function header(text = 'From: <agent@ours.example>\r\nTo: <ana@remote.example>\r\n') {
  return readFacts(Buffer.from(`${text}\r\nHello.\r\n`), { hostname: 'mx.ours.example' });
}

function mail(given: Partial<Case> = {}): Case {
  return {
    id: '01JD8Z6T4M3Q8VJ0RBX4N2C7WK',
    state: 'received',
    kind: 'mail',
    direction: 'outbound',
    source: 'submission',
    mailboxId: '01JD8Z6T4M3Q8VJ0RBX4N2C7WM',
    mailboxAddress: 'agent@ours.example',
    composerId: null,
    reversePath: 'agent@ours.example',
    forwardPaths: ['ana@remote.example'],
    contentId: '01JD8Z6T4M3Q8VJ0RBX4N2C7WN',
    size: 100,
    contentSha256: Buffer.alloc(32),
    subject: 'Hello',
    facts: header(),
    tags: {},
    agent: null,
    internetMessageId: null,
    smtputf8: false,
    body8bit: false,
    requestedMode: null,
    mailboxMode: 'gated_send',
    mailboxActive: true,
    oversightAddress: 'boss@remote.example',
    oversightMailboxId: null,
    holdExpiryHours: 168,
    gateTiming: 'gate_first',
    sendAt: null,
    createdAt: NOW,
    allowlisted: false,
    approved: false,
    now: NOW,
    ...given,
  };
}

describe('outbound mail by mode', () => {
  const table: [
    mailbox: string,
    requested: string | null,
    allowlisted: boolean,
    step: string,
    mode: string,
  ][] = [
    ['autonomous', null, false, 'release', 'autonomous'],
    ['monitored', null, false, 'release', 'monitored'],
    ['gated_send', null, false, 'hold', 'gated_send'],
    ['gated_all', null, false, 'hold', 'gated_all'],
    ['read_only', null, false, 'refuse', 'read_only'],
    // A caller tightens, and never loosens.
    ['autonomous', 'monitored', false, 'release', 'monitored'],
    ['autonomous', 'gated_send', false, 'hold', 'gated_send'],
    ['monitored', 'gated_all', false, 'hold', 'gated_all'],
    ['monitored', 'read_only', false, 'refuse', 'read_only'],
    ['gated_send', 'autonomous', false, 'hold', 'gated_send'],
    ['gated_all', 'monitored', false, 'hold', 'gated_all'],
    ['read_only', 'autonomous', false, 'refuse', 'read_only'],
    // The allowlist speaks in gated_send alone, and not when the request asked for as much itself.
    ['gated_send', null, true, 'release', 'gated_send'],
    ['gated_send', 'monitored', true, 'release', 'gated_send'],
    ['gated_send', 'gated_send', true, 'hold', 'gated_send'],
    ['gated_send', 'gated_all', true, 'hold', 'gated_all'],
    ['gated_all', null, true, 'hold', 'gated_all'],
    ['monitored', 'gated_send', true, 'hold', 'gated_send'],
    // What we do not know is held, as something a reviewer can answer.
    ['gentle', null, false, 'hold', 'gated_all'],
    ['monitored', 'gentle', false, 'hold', 'gated_all'],
    ['gentle', null, true, 'hold', 'gated_all'],
  ];
  test.each(table)(
    'mailbox %s, request %s, allowlisted %s: %s as %s',
    (mailboxMode, requestedMode, allowlisted, step, mode) => {
      expect(decide(mail({ mailboxMode, requestedMode, allowlisted }))).toMatchObject({ step, mode });
    },
  );
});

test.each([
  ['autonomous', false],
  ['monitored', true],
])('mail released as %s is copied to the overseer: %s', (mailboxMode, copied) => {
  const facts = mail({ mailboxMode });
  expect(rulingOf(facts, decide(facts)).copies).toHaveLength(copied ? 1 : 0);
});

test('mail that the allowlist released is copied to nobody', () => {
  const facts = mail({ allowlisted: true });
  expect(rulingOf(facts, decide(facts))).toMatchObject({ releasedBy: 'allowlist', copies: [] });
});

test('no copy is ever made of a copy, a DSN or a notice', () => {
  for (const kind of ['copy', 'dsn', 'notice'] as const) {
    const facts = mail({ kind, mailboxMode: 'monitored', source: 'postern' });
    expect(rulingOf(facts, decide(facts))).toMatchObject({ to: 'queued', releasedBy: 'postern', copies: [] });
  }
});

describe('a rule holds mail that no mode would hold', () => {
  const shown = (name: string) =>
    header(`From: ${name} <agent@ours.example>\r\nTo: <ana@remote.example>\r\n`);
  test.each([
    [
      'P-11 a Cyrillic letter among Latin ones, in the domain',
      { forwardPaths: ['ana@xn--pypal-4ve.com'] },
      /pаypal\.com \(ana@xn--pypal-4ve\.com\)/,
    ],
    [
      'P-11 the same in the local part',
      { forwardPaths: ['bob@x.example', 'аdmin@x.example'] },
      /аdmin@x\.example/,
    ],
    [
      'R-21 a name in From that is an address',
      { facts: shown('"ceo@corp.example"') },
      /"ceo@corp\.example" <agent@ours\.example>/,
    ],
    [
      'R-21 the same as an encoded word',
      { facts: shown('=?utf-8?q?ceo=40corp.example?=') },
      /ceo@corp\.example/,
    ],
    ['A-10 a header nobody read', { facts: null }, /senderNameIsAnAddress could not be evaluated/],
  ])('%s', (_, given, reason) => {
    const verdict = decide(mail({ mailboxMode: 'monitored', ...given }));
    // Held as gated: moved to `queued` by hand, it would still need its approval.
    expect(verdict).toMatchObject({
      step: 'hold',
      mode: 'gated_send',
      reasons: expect.arrayContaining([expect.stringMatching(reason)]),
    });
    expect(decide(mail({ allowlisted: true, ...given }))).toMatchObject({ step: 'hold' });
  });

  test('and the reviewer sees every reason, not the first', () => {
    const verdict = decide(
      mail({ forwardPaths: ['ana@xn--pypal-4ve.com'], facts: shown('"ceo@corp.example"') }),
    );
    expect(verdict).toMatchObject({ step: 'hold', reasons: { length: 5 } });
  });

  test('A-10 a rule that throws is a reason, beside those of the others', () => {
    const rules = [
      () => 'first',
      function broken(): string {
        throw new Error('no');
      },
      () => undefined,
      () => 'last',
    ];
    expect(reasonsToHold(mail(), rules)).toEqual([
      'first',
      'the rule broken could not be evaluated, and what cannot be judged is held',
      'last',
    ]);
  });
});

test.each([
  [{}, 'mail from agent@ours.example needs approval (gated_send)'],
  [
    { mailboxMode: 'gated_all', requestedMode: 'gated_send' },
    'mail from agent@ours.example needs approval (gated_all)',
  ],
  [
    { mailboxMode: 'monitored', requestedMode: 'gated_send' },
    'the sender asked for a review of this message (gated_send)',
  ],
  [{ requestedMode: 'gated_all' }, 'the sender asked for a review of this message (gated_all)'],
  [
    { requestedMode: 'gated_send', allowlisted: true },
    'the sender asked for a review of this message (gated_send)',
  ],
  [{ mailboxMode: 'gentle' }, 'the oversight mode "gentle" is unknown'],
])('the reviewer of %j reads: %s', (given, reason) => {
  expect(decide(mail(given))).toMatchObject({ step: 'hold', reasons: [reason] });
});

describe('P-18 a header that says something else than the envelope', () => {
  const facts = header('From: <agent@ours.example>\r\nTo: <ana@remote.example>, <eve@remote.example>\r\n');
  const forwardPaths = ['Ana@remote.example', 'boss@remote.example'];
  test('holds nobody', () => {
    expect(decide(mail({ mailboxMode: 'autonomous', facts, forwardPaths }))).toMatchObject({
      step: 'release',
    });
  });
  test('is shown to whoever reviews', () => {
    expect(decide(mail({ facts, forwardPaths }))).toMatchObject({
      reasons: [
        'mail from agent@ours.example needs approval (gated_send)',
        'note: also goes to boss@remote.example, named in neither To nor Cc',
        'note: the header names eve@remote.example, to whom it does not go',
      ],
    });
  });
  test('stays short for a hundred recipients', () => {
    const many = Array.from({ length: 100 }, (_, n) => `r${n}@remote.example`);
    const verdict = decide(mail({ facts, forwardPaths: many }));
    expect(verdict.step === 'hold' && verdict.reasons[1]).toMatch(/r4@remote\.example and 95 more, named/);
  });
});

describe('mail with a time ahead', () => {
  const table: [string, Partial<Case>, string][] = [
    ['ungated waits', { mailboxMode: 'autonomous', sendAt: LATER }, 'schedule'],
    ['allowlisted waits', { allowlisted: true, sendAt: LATER }, 'schedule'],
    ['gate_first is held now', { sendAt: LATER }, 'hold'],
    ['schedule_first waits', { sendAt: LATER, gateTiming: 'schedule_first' }, 'schedule'],
    [
      'read_only is refused now',
      { sendAt: LATER, mailboxMode: 'read_only', gateTiming: 'schedule_first' },
      'refuse',
    ],
    ['passed means now, ungated', { mailboxMode: 'autonomous', sendAt: NOW }, 'release'],
    ['passed means now, gated', { sendAt: NOW, gateTiming: 'schedule_first' }, 'hold'],
    ['its time came, ungated', { state: 'scheduled', mailboxMode: 'autonomous', sendAt: NOW }, 'release'],
    ['its time came, gated', { state: 'scheduled', sendAt: NOW }, 'hold'],
    ['its time came, approved', { state: 'scheduled', sendAt: NOW, approved: true }, 'release'],
    [
      'A-09 approved, and gated_all now',
      { state: 'scheduled', sendAt: NOW, approved: true, mailboxMode: 'gated_all' },
      'release',
    ],
    [
      'A-09 approved, and read_only now',
      { state: 'scheduled', sendAt: NOW, approved: true, mailboxMode: 'read_only' },
      'hold',
    ],
    [
      'approved, and the mailbox is closed now',
      { state: 'scheduled', sendAt: NOW, approved: true, mailboxActive: false },
      'hold',
    ],
  ];
  test.each(table)('%s', (_, given, step) => {
    expect(decide(mail(given))).toMatchObject({ step });
  });

  test('what is held because nothing may leave can be answered when something may again', () => {
    const verdict = decide(mail({ state: 'scheduled', sendAt: NOW, mailboxMode: 'read_only' }));
    expect(verdict).toMatchObject({ step: 'hold', mode: 'gated_all' });
  });
});

describe('inbound mail', () => {
  test.each([
    ['autonomous', true, 'deliver'],
    ['monitored', true, 'deliver'],
    ['gated_send', true, 'deliver'],
    ['gated_all', true, 'hold'],
    ['read_only', true, 'deliver'],
    ['gentle', true, 'hold'],
    ['autonomous', false, 'hold'],
  ])('to a %s mailbox (active: %s): %s', (mailboxMode, mailboxActive, step) => {
    const facts = mail({ direction: 'inbound', source: 'mx', mailboxMode, mailboxActive });
    expect(decide(facts)).toMatchObject({ step });
    expect(rulingOf(facts, decide(facts)).dsnOwed).toBeNull();
  });
});

test('mail of a mailbox that was closed is refused, and its sender told', () => {
  const facts = mail({ mailboxActive: false, mailboxMode: 'autonomous' });
  expect(rulingOf(facts, decide(facts))).toMatchObject({
    to: 'rejected',
    dsnOwed: 'rejected',
    wakeAt: 'keep',
  });
});

const anyCase: fc.Arbitrary<Case> = fc
  .record({
    state: fc.constantFrom('received' as const, 'scheduled' as const),
    kind: fc.constantFrom('mail' as const, 'mail' as const, 'dsn' as const, 'copy' as const),
    direction: fc.constantFrom('outbound' as const, 'inbound' as const),
    mailboxMode: fc.constantFrom(...MODES, 'gentle'),
    requestedMode: fc.constantFrom(null, ...MODES, 'gentle'),
    mailboxActive: fc.boolean(),
    allowlisted: fc.boolean(),
    approved: fc.boolean(),
    gateTiming: fc.constantFrom('gate_first' as const, 'schedule_first' as const),
    sendAt: fc.constantFrom(null, NOW, LATER),
    facts: fc.constantFrom(header(), {}, null, header('From: "a@b.example" <agent@ours.example>\r\n')),
    forwardPaths: fc.constantFrom<string[]>(['ana@remote.example'], ['аdmin@x.example']),
  })
  // The store hands out scheduled mail once its time has come, and only that can have been approved.
  .map((given) => {
    const scheduled = { kind: 'mail', direction: 'outbound', sendAt: NOW } as const;
    return mail({ ...given, ...(given.state === 'scheduled' ? scheduled : { approved: false }) });
  });

test('whatever the facts, gated mail is released only by an approval or by the allowlist of gated_send', () => {
  fc.assert(
    fc.property(anyCase, (facts) => {
      const verdict = decide(facts);
      expect(after(facts.state, verdict.step)).toBe(rulingOf(facts, verdict).to);
      if (facts.kind !== 'mail' || facts.direction === 'inbound' || verdict.step !== 'release') return;
      const modes = [facts.mailboxMode, facts.requestedMode].filter((mode) => mode !== null);
      expect(modes.every(isMode) || facts.approved).toBe(true);
      expect(facts.mailboxActive).toBe(true);
      expect(modes).not.toContain('read_only');
      const mode = strictest('autonomous', ...modes.filter(isMode));
      if (verdict.by === 'mode') expect(isGated(mode)).toBe(false);
      if (verdict.by === 'allowlist')
        expect([facts.allowlisted, mode, facts.mailboxMode]).toEqual([true, 'gated_send', 'gated_send']);
      if (verdict.by === 'approval') expect(facts.approved).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test('whatever the facts, held outbound mail is held as gated, with a reason', () => {
  fc.assert(
    fc.property(anyCase, (facts) => {
      const verdict = decide(facts);
      if (verdict.step !== 'hold') return;
      expect(verdict.reasons.length).toBeGreaterThan(0);
      if (facts.direction === 'outbound') expect(['gated_send', 'gated_all']).toContain(verdict.mode);
    }),
    { numRuns: 2000 },
  );
});
