import Foundation
import KalamLive

/// Bills the orders of a topic until Ctrl-C: what it is at is then finished and committed, and the next worker gets the rest.
func billOrders(
    _ client: KalamClient, _ options: RunOptions, _ bill: @escaping @Sendable (ConsumerRecord) async throws -> Void
) async throws -> RunSummary {
    signal(SIGINT, SIG_IGN)  // which would end the process at once
    let interrupt = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
    let stop = options.stop
    interrupt.setEventHandler { stop.stop() }
    interrupt.resume()
    defer { interrupt.cancel() }

    var orders = ConsumerOptions(topic: "app.order_events", groupId: "billing")
    orders.start = .earliest
    let consumer = try client.consumer(orders)
    let summary = try await consumer.run(options, bill)
    await consumer.close()
    return summary
}
