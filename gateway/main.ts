/**
 * The gateway: mail comes in here and nowhere else.
 *
 *   socket ─▶ smtp-server ─▶ Session ─▶ Door (submission | mx | trusted) ─▶ accept.ts ─▶ store, bell
 */

import { loadCertificate } from '../core/runtime/certificate.ts';
import type { Room, Runtime } from '../core/runtime/runtime.ts';
import { openRevocations } from '../core/store/revocations.ts';
import { openAcceptDoor } from './accept.ts';
import { watchCertificate } from './certificate-watch.ts';
import { budget } from './collector.ts';
import { openCredentials } from './credentials.ts';
import type { DoorKind } from './door.ts';
import { openIdentities } from './identities.ts';
import { type Listening, listen } from './listeners.ts';
import { type MxHouse, mxDoor } from './mx.ts';
import { watchPressure } from './pressure.ts';
import { sessionLimits } from './session-limits.ts';
import { type SubmissionHouse, submissionDoor } from './submission.ts';
import { trustedDoor } from './trusted.ts';

export interface GatewayPorts {
  submission?: number;
  submissionTls?: number;
  mx?: number;
  trusted?: number;
}

export interface Gateway extends Room {
  /** The ports that are bound, which differ from the settings where those say 0. */
  readonly ports: GatewayPorts;
  /** Reads the certificate again; sessions that begin from now on see it. Throws and keeps the old one if it is no good. */
  reloadCertificate(): Promise<void>;
}

/** All messages that are arriving may take this much memory, or four of the largest. */
const MEMORY = 256 << 20;

interface Planned {
  port: keyof GatewayPorts;
  kind: DoorKind;
  setting: string;
  host: string;
  number: number;
  implicitTls: boolean;
}

/** Opens the listeners that are enabled; throws, naming the port and its setting, when one cannot be had. */
export async function startGateway(runtime: Runtime): Promise<Gateway> {
  const { config, log, metrics, database, suppressed } = runtime;
  const { limits } = config;
  const certificate = await loadCertificate(config, config.data_dir);
  const certificateWatch = watchCertificate(runtime, certificate);
  const acceptDoor = openAcceptDoor(runtime);
  const pressure = watchPressure(runtime);
  const enter = sessionLimits({ sessions: limits.sessions, perAddress: limits.sessions_per_address });
  const house = {
    hostname: config.hostname,
    limits,
    log,
    metrics,
    memory: budget(Math.max(MEMORY, 4 * limits.message_bytes)),
    pressure: pressure.refusal,
  };
  const open: Listening[] = [];
  const ports: GatewayPorts = {};
  const close = async () => {
    await Promise.all(open.map((listening) => listening.close()));
    await acceptDoor.drain();
    await pressure.close();
    certificateWatch.close();
  };

  const credentials = openCredentials({
    db: database.pool,
    metrics,
    failuresPerAddressMinute: limits.auth_failures_per_address_minute,
  });
  const revocations = openRevocations(database.pool, runtime.listening, (err) =>
    log.warn({ err }, 'which logins have ended cannot be read'),
  );
  const identities = openIdentities(runtime);
  const doors = { config, database, acceptDoor, credentials, revocations, suppressed, identities };
  try {
    for (const planned of plan(runtime, doors)) {
      const listening = await listen({ ...planned, certificate, house, enter });
      open.push(listening);
      ports[planned.port] = listening.port;
    }
  } catch (err) {
    await close();
    throw err;
  }
  log.info({ ports }, 'the gateway takes mail');
  return {
    ports,
    close,
    async reloadCertificate() {
      const fresh = await loadCertificate(config, config.data_dir);
      for (const listening of open) listening.use(fresh);
      certificateWatch.use(fresh);
    },
  };
}

function plan({ config }: Runtime, doors: SubmissionHouse & MxHouse): Planned[] {
  const { submission, mx, trusted } = config;
  const planned: Planned[] = [];
  if (submission.enabled) {
    const { host, port, tls_port } = submission;
    planned.push({
      port: 'submission',
      kind: submissionDoor(doors, 'submission'),
      setting: 'submission.port',
      host,
      number: port,
      implicitTls: false,
    });
    planned.push({
      port: 'submissionTls',
      kind: submissionDoor(doors, 'submissions'),
      setting: 'submission.tls_port',
      host,
      number: tls_port,
      implicitTls: true,
    });
  }
  if (mx.enabled) {
    const { host, port } = mx;
    planned.push({
      port: 'mx',
      kind: mxDoor(doors),
      setting: 'mx.port',
      host,
      number: port,
      implicitTls: false,
    });
  }
  if (trusted.enabled) {
    const { host, port } = trusted;
    const kind = trustedDoor(doors);
    planned.push({ port: 'trusted', kind, setting: 'trusted.port', host, number: port, implicitTls: false });
  }
  return planned;
}
