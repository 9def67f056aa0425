/** How our PostgreSQL is tuned: many small commits, tables whose rows are updated often and soon deleted. */
import { totalmem } from 'node:os';

export type Settings = Readonly<Record<string, string>>;

export function settings(more: Settings = {}): string[] {
  const all: Settings = { ...TUNING, shared_buffers: sharedBuffers(), ...more, ...FIXED };
  return Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

const TUNING: Settings = {
  // the 250 after DATA promises that the message survives a power cut (RFC 5321 §6.1)
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  wal_compression: 'on',
  wal_buffers: '16MB',
  max_wal_size: '2GB',
  min_wal_size: '256MB',
  checkpoint_timeout: '15min',
  max_connections: '100',
  // short statements: planning them for speed costs more than it gives
  jit: 'off',
  max_parallel_workers_per_gather: '0',
  random_page_cost: '1.1',
  autovacuum_naptime: '10s',
  autovacuum_vacuum_scale_factor: '0.02',
  autovacuum_vacuum_insert_scale_factor: '0.1',
  autovacuum_analyze_scale_factor: '0.05',
  autovacuum_vacuum_cost_limit: '2000',
  log_checkpoints: 'off',
  log_min_messages: 'warning',
  log_line_prefix: '%m [%p] %a ',
};

/** Not to be changed: who may connect, and that mail does not reach the log by way of a statement or a DETAIL. */
const FIXED: Settings = {
  listen_addresses: '',
  port: '5432',
  // relative to the data directory, which only its owner can enter
  unix_socket_directories: '.',
  unix_socket_permissions: '0700',
  logging_collector: 'off',
  log_destination: 'stderr',
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
};

function sharedBuffers(): string {
  const quarter = Math.floor(totalmem() / 4 / 1024 / 1024);
  return `${Math.max(16, Math.min(256, quarter))}MB`;
}
