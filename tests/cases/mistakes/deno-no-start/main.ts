export function handler(payload: Uint8Array) {
  return payload;
}
