/** The alarm `certificate`: on when what the listeners show has ended, or is about to. */
import type { Certificate } from '../core/runtime/certificate.ts';
import type { Runtime } from '../core/runtime/runtime.ts';

const DAY_MS = 86_400_000;
const ENOUGH_MS = 14 * DAY_MS;

export interface CertificateWatch {
  /** This one is shown from now on. */
  use(certificate: Pick<Certificate, 'notAfter'>): void;
  close(): void;
}

/** Looks when a certificate comes into use, and each day. */
export function watchCertificate(
  { metrics, log }: Pick<Runtime, 'metrics' | 'log'>,
  certificate: Pick<Certificate, 'notAfter'>,
): CertificateWatch {
  let { notAfter } = certificate;
  let on = false;
  const look = () => {
    const left = notAfter.getTime() - Date.now();
    const was = on;
    on = left < ENOUGH_MS;
    if (on === was) return;
    metrics.alarm('certificate', on);
    const says =
      left > 0 ? 'the certificate of the listeners ends soon' : 'the certificate of the listeners has ended';
    if (on) log.error({ ends: notAfter }, `${says}: replace it (tls.certificate_file), then send SIGHUP`);
    else log.info({ ends: notAfter }, 'the certificate of the listeners is good again');
  };
  look();
  const timer = setInterval(look, DAY_MS).unref();
  return {
    use(fresh) {
      notAfter = fresh.notAfter;
      look();
    },
    close: () => clearInterval(timer),
  };
}
