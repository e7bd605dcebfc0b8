export { DatagramReceiver } from "./datagram-receiver.ts";
