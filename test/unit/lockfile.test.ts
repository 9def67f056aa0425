import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';

interface Locked {
  version?: string;
  integrity?: string;
  resolved?: string;
  optionalDependencies?: Record<string, string>;
}
const { packages } = JSON.parse(
  readFileSync(resolve(import.meta.dirname, '../../package-lock.json'), 'utf8'),
) as { packages: Record<string, Locked> };

/** A registry that lacks a package for another platform makes npm leave it out of the lock, and `npm ci` then refuses. */
test('every optional package is locked, those of other platforms too', () => {
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) =>
        packages[`node_modules/${name}`] === undefined &&
        packages[`${path}/node_modules/${name}`] === undefined,
    ),
  );
  expect(missing).toEqual([]);
  const unversioned = Object.entries(packages).filter(
    ([path, { version }]) => path !== '' && version === undefined,
  );
  expect(unversioned).toEqual([]);
});

test('what runs here is locked by its content', () => {
  const loose = Object.entries(packages).filter(
    ([path, { integrity }]) => path !== '' && integrity === undefined,
  );
  // only those the registry did not have when the lock was made, and which no machine of ours installs
  expect(loose.map(([path]) => path).filter((path) => /linux-(x64|arm64)$/.test(path))).toEqual([]);
  expect(loose.every(([path]) => /(android|darwin|win32|musl|linux-arm)/.test(path))).toBe(true);
});

test('no address of a registry stands in the lock', () => {
  expect(Object.values(packages).filter(({ resolved }) => resolved !== undefined)).toEqual([]);
});
