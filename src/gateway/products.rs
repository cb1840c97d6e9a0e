//! The products of a gateway, by the classes of their connections.

use crate::bridge::Bridge;
use crate::engine::Class;
use crate::host::{Classes, Product};
use crate::relay::Relay;

/// The products of a gateway. The classes of the relay come first, then those of the bridge, then
/// those of the others, in their order.
pub(super) struct Products {
    pub(super) relay: Relay,
    /// The bridge, with the number of its first class.
    bridge: Option<(Class, Bridge)>,
    /// The other products, each with the number of its first class.
    others: Vec<(Class, Box<dyn Product>)>,
}

impl Products {
    /// Registers all products. Returns their classes, too.
    pub(super) fn register(
        mut relay: Relay,
        bridge: Option<Bridge>,
        others: Vec<Box<dyn Product>>,
    ) -> (Self, Classes) {
        let mut infos = Vec::new();
        let mut register = |product: &mut dyn Product| {
            // At most 256 classes: the engine's configuration is checked for that.
            let first = Class(infos.len() as u8);
            product.on_register(first);
            infos.extend(product.classes());
            first
        };
        register(&mut relay);
        let bridge = bridge.map(|mut bridge| (register(&mut bridge), bridge));
        let others = others.into_iter();
        let others = others.map(|mut product| (register(&mut *product), product));
        let products = Products {
            relay,
            bridge,
            others: others.collect(),
        };
        (products, Classes::new(infos))
    }

    /// Returns the product of a class.
    pub(super) fn of(&mut self, class: Class) -> &mut dyn Product {
        let mut others = self.others.iter_mut().rev();
        if let Some((_, product)) = others.find(|(first, _)| *first <= class) {
            return &mut **product;
        }
        match &mut self.bridge {
            Some((first, bridge)) if *first <= class => bridge,
            _ => &mut self.relay,
        }
    }

    /// Returns the bridge, if there is one.
    pub(super) fn bridge(&mut self) -> Option<&mut Bridge> {
        self.bridge.as_mut().map(|(_, bridge)| bridge)
    }

    /// Returns the bridge for queries, if there is one.
    pub(super) fn shared_bridge(&self) -> Option<&Bridge> {
        self.bridge.as_ref().map(|(_, bridge)| bridge)
    }

    /// Returns all products but the relay, in the order in which they are asked about a request.
    pub(super) fn besides_relay(&mut self) -> impl Iterator<Item = &mut dyn Product> {
        self.relay_and_others().1
    }

    /// Returns the relay, and all other products in the order in which they are asked about a
    /// request.
    pub(super) fn relay_and_others(
        &mut self,
    ) -> (&mut Relay, impl Iterator<Item = &mut dyn Product>) {
        let bridge = self.bridge.iter_mut();
        let bridge = bridge.map(|(_, bridge)| bridge as &mut dyn Product);
        let others = self.others.iter_mut();
        let others = others.map(|(_, product)| &mut **product as &mut dyn Product);
        (&mut self.relay, bridge.chain(others))
    }

    /// Returns all products, the relay first.
    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut dyn Product> {
        let Products {
            relay,
            bridge,
            others,
        } = self;
        let bridge = bridge.iter_mut();
        let bridge = bridge.map(|(_, bridge)| bridge as &mut dyn Product);
        let others = others.iter_mut();
        let others = others.map(|(_, product)| &mut **product as &mut dyn Product);
        std::iter::once(relay as &mut dyn Product)
            .chain(bridge)
            .chain(others)
    }
}
