import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { type Config, loadConfig } from '../../core/runtime/config.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const read = (name: string) => readFileSync(resolve(ROOT, name), 'utf8');

interface Service {
  image?: string;
  command?: string[];
  environment?: Record<string, string>;
  ports?: string[];
  depends_on?: Record<string, { condition: string }>;
  volumes?: string[];
}
const compose = parse(read('docker-compose.yml'), { merge: true }) as {
  services: Record<string, Service>;
  volumes: Record<string, null>;
};
const rooms = Object.entries(compose.services).filter(([, { image }]) => image?.startsWith('postern:'));

/** As compose reads `${NAME}`, `${NAME:-default}` and `${NAME:?message}`. */
function interpolated(text: string, env: Record<string, string>): string {
  return text.replace(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_, name: string, kind?: string, rest = '') => {
    const value = env[name];
    if (value) return value;
    if (kind === '?') throw new Error(`${name}: ${rest}`);
    return kind === '-' ? rest : '';
  });
}

const REQUIRED = { POSTERN_HOSTNAME: 'mail.example.com', POSTGRES_PASSWORD: 'abc123' };

function configOf(service: Service, env: Record<string, string>): Config {
  const settings = Object.entries(service.environment ?? {});
  return loadConfig({
    file: '/dev/null',
    env: Object.fromEntries(settings.map(([name, value]) => [name, interpolated(String(value), env)])),
  });
}

describe('docker-compose.yml', () => {
  test('has one service for each room, and one that migrates', () => {
    expect(rooms.map(([name, { command }]) => [name, command?.join(' ')])).toEqual([
      ['gateway', 'postern serve gateway'],
      ['policy', 'postern serve policy'],
      ['delivery', 'postern serve delivery'],
      ['api', 'postern serve api'],
      ['migrate', 'postern migrate'],
    ]);
  });

  test.each(rooms)('gives %s nothing but settings that exist', (_, service) => {
    const config = configOf(service, REQUIRED);
    expect(config.hostname).toBe('mail.example.com');
    expect(config.database.url).toBe('postgresql://postern:abc123@postgres:5432/postern');
    expect(config.queue.url).toBe('redis://redis:6379');
    expect(config.delivery.default_route).toBe('capture');
  });

  test('hands the way out to every room', () => {
    const smarthost = {
      POSTERN_SMARTHOST_HOST: 'relay.example.com',
      POSTERN_SMARTHOST_PORT: '587',
      POSTERN_SMARTHOST_USERNAME: 'u',
      POSTERN_SMARTHOST_PASSWORD: 'p',
    };
    for (const [, service] of rooms)
      expect(configOf(service, { ...REQUIRED, ...smarthost }).delivery).toMatchObject({
        default_route: 'smarthost',
        routes: { smarthost: { host: 'relay.example.com', port: 587, username: 'u' } },
      });
  });

  test.each(Object.keys(REQUIRED))('refuses to start without %s, and says what to do', (name) => {
    const rest = Object.fromEntries(Object.entries(REQUIRED).filter(([other]) => other !== name));
    expect(() => configOf(compose.services.gateway!, rest)).toThrow(`${name}: set it in .env`);
  });

  test('publishes the ports that are listened on, on this machine alone unless told otherwise', () => {
    const published = Object.values(compose.services).flatMap(({ ports = [] }) => ports);
    expect(published.map((port) => interpolated(port, {}))).toEqual([
      '127.0.0.1:25:2525',
      '127.0.0.1:465:2465',
      '127.0.0.1:587:2587',
      '127.0.0.1:8080:8080',
    ]);
    const { mx, submission } = configOf(compose.services.gateway!, REQUIRED);
    expect([mx.port, submission.tls_port, submission.port]).toEqual([2525, 2465, 2587]);
    expect([mx.host, submission.host]).toEqual(['0.0.0.0', '0.0.0.0']);
    expect(configOf(compose.services.api!, REQUIRED).http).toMatchObject({ host: '0.0.0.0', port: 8080 });
  });

  test('starts a room when PostgreSQL and Redis are healthy and the schema is up to date', () => {
    for (const [name, { depends_on }] of rooms)
      expect([name, depends_on]).toEqual([
        name,
        name === 'migrate'
          ? { postgres: { condition: 'service_healthy' } }
          : {
              postgres: { condition: 'service_healthy' },
              redis: { condition: 'service_healthy' },
              migrate: { condition: 'service_completed_successfully' },
            },
      ]);
  });

  test('keeps every bell: append-only, and nothing evicted', () => {
    const { command = [], volumes } = compose.services.redis!;
    expect(command.join(' ')).toBe('redis-server --appendonly yes --maxmemory-policy noeviction');
    expect(volumes).toEqual(['redis-data:/data']);
  });

  test('names every volume it uses', () => {
    const used = Object.values(compose.services)
      .flatMap(({ volumes = [] }) => volumes)
      .map((volume) => volume.split(':')[0]!)
      .filter((name) => !name.startsWith('.'));
    expect([...new Set(used)].sort()).toEqual(Object.keys(compose.volumes).sort());
  });

  test('holds no secret of its own', () => {
    const values = Object.values(compose.services).flatMap(({ environment = {} }) =>
      Object.entries(environment),
    );
    const secrets = values.filter(([name]) => /PASSWORD|SECRET/.test(name));
    expect(secrets.length).toBeGreaterThan(0);
    for (const [name, value] of secrets)
      expect([name, value]).toEqual([name, expect.stringMatching(/^\$\{\w+(:-|:\?.*)\}$/)]);
    // no password in a URL either: user:password@host
    for (const [name, value] of values)
      expect([name, String(value).replace(/\$\{[^}]*\}/g, '')]).toEqual([
        name,
        expect.not.stringMatching(/:[^/@]+@/),
      ]);
  });
});

describe('.env.example', () => {
  const lines = read('.env.example')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split('=') as [string, string]);

  test('names every variable that docker-compose.yml reads, and no other', () => {
    const yaml = read('docker-compose.yml').replace(/^\s*#.*$/gm, '');
    const read_ = [...yaml.matchAll(/\$\{(\w+)/g)].map(([, name]) => name!);
    const named = lines.map(([name]) => name);
    expect(named.sort()).toEqual([...new Set(read_)].filter((name) => name !== 'POSTERN_VERSION').sort());
  });

  test('leaves every secret empty', () => {
    for (const [name, value] of lines.filter(([key]) => /PASSWORD|SECRET/.test(key)))
      expect([name, value]).toEqual([name, '']);
  });
});

describe('Dockerfile', () => {
  const text = read('Dockerfile');

  test('copies every folder the rooms are made of, and .dockerignore lets them in', () => {
    for (const folder of ['core', 'gateway', 'policy', 'delivery', 'api', 'cli']) {
      expect(existsSync(resolve(ROOT, folder))).toBe(true);
      expect(text).toContain(`COPY ${folder} ./${folder}\n`);
      expect(read('.dockerignore')).toContain(`!${folder}\n`);
    }
  });

  test('runs as an ordinary user, under Node 24, and is asked for its health', () => {
    expect(text).toMatch(/^FROM node:24-slim$/m);
    expect(text).toMatch(/^USER node$/m);
    expect(text).toContain('HEALTHCHECK');
    expect(text).toContain('CMD ["postern", "doctor", "--health"]');
  });
});
