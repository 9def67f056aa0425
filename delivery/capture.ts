/** A way out that ends in a local box: the copy is written with the outcome, in the same statement. */
import { newId } from '../core/mail/id.ts';
import { forAll, type Transport } from './transport.ts';

const WORDS = { code: 250, enhanced: '2.0.0', text: 'kept in the capture box, sent to nobody' };

export function openCapture({ capacity }: { capacity: number }): Transport {
  return {
    capacity,
    async close() {},
    async send(parcel) {
      if (!parcel.mayGo()) {
        const words = { enhanced: '4.3.0', text: 'this process lost its claim on the message' };
        const recipients = forAll(parcel, 'deferred', words);
        return { recipients, nextHop: null, reply: words.text, trouble: null, captureId: null };
      }
      return {
        recipients: forAll(parcel, 'relayed', WORDS),
        nextHop: null,
        reply: WORDS.text,
        trouble: null,
        captureId: newId(),
        captureMarks: parcel.marks.toString('latin1'),
      };
    },
  };
}
