//! Support for the journeys over several rooms.
